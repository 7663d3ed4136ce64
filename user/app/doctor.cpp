// SPDX-License-Identifier: Apache-2.0
#include "user/app/doctor.h"

#include <fmt/format.h>
#include <sys/utsname.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string_view>

namespace leaktrace::app {
namespace {

using tracer::Finding;

std::string_view state_name(Finding::State state) {
  switch (state) {
    case Finding::State::yes:
      return "yes";
    case Finding::State::no:
      return "no";
    case Finding::State::unknown:
      return "unknown";
  }
  return "unknown";
}

std::string_view verdict(const Diagnosis& diagnosis) {
  if (diagnosis.can_trace()) return "leaktrace can trace here";
  const auto* ids = diagnosis.features.find("process_ids");
  if (ids != nullptr && ids->state == Finding::State::no)
    return "leaktrace cannot trace here: process ids cannot be told";
  const bool untried = std::ranges::any_of(diagnosis.features.findings, [](const auto& finding) {
    return finding.required && finding.state == Finding::State::unknown;
  });
  return untried ? "leaktrace cannot trace here: privileges are missing"
                 : "leaktrace cannot trace here: the kernel lacks what it needs";
}

/// True when uprobes are needed and the kernel gives them to CAP_SYS_ADMIN only.
bool lacks_admin(const tracer::Features& features) {
  return features.uprobe_needs_admin && !features.can_trace();
}

void print_privileges(std::string& out, const Diagnosis& diagnosis) {
  const auto& capabilities = diagnosis.capabilities;
  const bool admin = lacks_admin(diagnosis.features);
  const auto missing = capabilities.missing();
  if (missing.empty() && !admin) return;
  out += "\nCapabilities that this process lacks:\n";
  if (admin) out += "  CAP_SYS_ADMIN: attach probes on this kernel (necessary)\n";
  for (const auto& need : missing)
    fmt::format_to(std::back_inserter(out), "  {}: {}{}\n", need.name, need.purpose,
                   need.optional ? "" : " (necessary)");
  if (capabilities.no_new_privileges) {
    out += "  This process may gain no privileges (no_new_privs): start it from another shell.\n";
  } else if (capabilities.executable_on_nosuid) {
    out += "  Run it with sudo: its file system is mounted nosuid, which ignores capabilities.\n";
  } else {
    fmt::format_to(std::back_inserter(out),
                   "  Run it with sudo, or let a group run it, once:\n    {}\n"
                   "  GROUP: a group of users who may see into the processes of others.\n",
                   capabilities.grant_command(admin));
  }
}

/// One line a check; what follows from a missing one is on the next line, under its title.
void print_findings(std::string& out, const std::vector<Finding>& findings) {
  std::size_t width = 0;
  for (const auto& finding : findings) width = std::max(width, finding.title.size());
  out += "\nChecks:\n";
  for (const auto& finding : findings) {
    auto line = fmt::format("  {:<7}  {:<{}}  {}", state_name(finding.state), finding.title, width,
                            finding.detail);
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + '\n';
    if (!finding.consequence.empty()) out += "             " + finding.consequence + '\n';
  }
}

}  // namespace

Result<Diagnosis> diagnose() {
  auto capabilities = tracer::read_capabilities();
  if (!capabilities) return capabilities.unexpected();
  Diagnosis diagnosis;
  utsname name{};
  if (::uname(&name) == 0) diagnosis.kernel = {name.release, name.machine};
  diagnosis.capabilities = std::move(*capabilities);
  diagnosis.features = tracer::probe_features();
  return diagnosis;
}

std::string doctor_text(const Diagnosis& diagnosis) {
  auto out = fmt::format("{} (Linux {}, {}).\n", verdict(diagnosis), diagnosis.kernel.release,
                         diagnosis.kernel.machine);
  print_privileges(out, diagnosis);
  print_findings(out, diagnosis.features.findings);
  return out;
}

std::string doctor_json(const Diagnosis& diagnosis) {
  using nlohmann::ordered_json;
  const auto& capabilities = diagnosis.capabilities;
  auto missing = ordered_json::array();
  for (const auto& need : capabilities.missing())
    missing.push_back(
        {{"name", need.name}, {"purpose", need.purpose}, {"required", !need.optional}});
  auto findings = ordered_json::array();
  for (const auto& finding : diagnosis.features.findings)
    findings.push_back({{"id", finding.id},
                        {"title", finding.title},
                        {"state", state_name(finding.state)},
                        {"required", finding.required},
                        {"detail", finding.detail},
                        {"consequence", finding.consequence}});
  const ordered_json document = {
      {"version", 1},
      {"kernel", {{"release", diagnosis.kernel.release}, {"machine", diagnosis.kernel.machine}}},
      {"can_trace", diagnosis.can_trace()},
      {"capabilities",
       {{"effective", capabilities.effective.names()},
        {"missing", missing},
        {"sufficient", capabilities.sufficient()},
        {"no_new_privileges", capabilities.no_new_privileges},
        {"grant_command", capabilities.grant_command(lacks_admin(diagnosis.features))}}},
      {"findings", findings}};
  return document.dump(2, ' ', false, ordered_json::error_handler_t::replace) + '\n';
}

}  // namespace leaktrace::app
