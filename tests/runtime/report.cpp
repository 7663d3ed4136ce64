// SPDX-License-Identifier: Apache-2.0
#include "tests/runtime/report.h"

#include <algorithm>

namespace leaktrace::runtime {

using nlohmann::json;

namespace {

bool has_function(const json& site, const std::string& name) {
  return std::any_of(site.at("stack").begin(), site.at("stack").end(), [&](const json& frame) {
    return is_function(frame.at("function").get<std::string>(), name);
  });
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const Amount& amount) {
  return out << amount.count << " in " << amount.bytes << " bytes";
}

bool is_function(const std::string& function, const std::string& name) {
  const std::size_t at = function.find(name);
  if (at == std::string::npos) return false;
  const bool begins =
      at == 0 || (at >= 2 && function.compare(at - 2, 2, "::") == 0) || function[at - 1] == ' ';
  const std::size_t end = at + name.size();
  return begins && (end == function.size() || function[end] == '(' || function[end] == '@');
}

Report::Report(const std::string& text) : json_(json::parse(text)) {
  if (json_.at("version") != 1) throw std::runtime_error("not a report of version 1");
}

Amount Report::outstanding(const std::string& function, const std::string& kind, int pid) const {
  Amount sum;
  for (const nlohmann::json& site : json_.at("sites")) {
    if (!kind.empty() && site.at("kind") != kind) continue;
    if (pid != 0 && site.at("pid") != pid) continue;
    if (!has_function(site, function)) continue;
    sum += {site.at("outstanding").at("count"), site.at("outstanding").at("bytes")};
  }
  return sum;
}

Amount Report::acquired(const std::string& function, const std::string& kind) const {
  Amount sum;
  for (const nlohmann::json& site : json_.at("sites")) {
    if (!kind.empty() && site.at("kind") != kind) continue;
    if (!has_function(site, function)) continue;
    sum += {site.at("total").at("acquired_count"), site.at("total").at("acquired_bytes")};
  }
  return sum;
}

Amount Report::outstanding_at_all() const {
  Amount sum;
  for (const nlohmann::json& site : json_.at("sites")) {
    sum += {site.at("outstanding").at("count"), site.at("outstanding").at("bytes")};
  }
  return sum;
}

std::size_t Report::sites_with(const std::string& function) const {
  return stacks_with(function).size();
}

std::vector<nlohmann::json> Report::stacks_with(const std::string& function) const {
  std::vector<nlohmann::json> found;
  for (const nlohmann::json& site : json_.at("sites")) {
    if (has_function(site, function)) found.push_back(site);
  }
  return found;
}

std::vector<std::string> Report::functions(const nlohmann::json& site) {
  std::vector<std::string> names;
  for (const nlohmann::json& frame : site.at("stack")) names.push_back(frame.at("function"));
  return names;
}

std::map<std::string, std::uint64_t> Report::losses() const {
  std::map<std::string, std::uint64_t> all = json_.at("losses");
  std::erase_if(all, [](const auto& loss) { return loss.second == 0; });
  return all;
}

std::uint64_t Report::loss(const std::string& cause) const {
  return json_.at("losses").at(cause).get<std::uint64_t>();
}

}  // namespace leaktrace::runtime
