// SPDX-License-Identifier: Apache-2.0
#include "user/app/probe_listing.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "user/base/file.h"
#include "user/catalog/row.h"
#include "user/tracer/hooks.h"
#include "user/tracer/procfs.h"

namespace leaktrace::app {
namespace {

constexpr std::array kFolders = {
#if defined(__x86_64__)
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
#elif defined(__aarch64__)
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
#endif
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
    "/usr/local/lib",
    "."};

bool is_file(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode);
}

std::vector<std::string> wanted_names(const std::vector<catalog::Row>& rows) {
  std::vector<std::string> names;
  for (const catalog::Row& row : rows) names.push_back(row.symbol);
  return names;
}

Result<tracer::Module> open_module(const std::string& path, const std::vector<catalog::Row>& rows,
                                   tracer::ElfReader& reader) {
  tracer::Module module;
  module.path = path;
  module.fd = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!module.fd) return fail(describe_errno(path, errno));
  struct stat status {};
  if (::fstat(module.fd.get(), &status) != 0) return fail(describe_errno(path, errno));
  if (!S_ISREG(status.st_mode)) return fail(path + " is no file with code");
  auto contents = reader.read(module.fd.get(), wanted_names(rows));
  if (!contents) return fail(path + ": " + contents.error().what);
  if (!contents->not_elf.empty()) return fail(path + ": " + contents->not_elf);
  if (tracer::machine_of(contents->image.machine) != tracer::kOwnMachine) {
    return fail(path + " is for another machine");
  }
  module.image = std::move(contents->image);
  return module;
}

std::string_view cost_of(const tracer::ProbeSite& site) {
  return site.emulated ? "emulated" : "single-stepped";
}

std::size_t count_emulated(const ProbeListing& listing) {
  return static_cast<std::size_t>(std::ranges::count_if(
      listing.probes, [](const ListedProbe& probe) { return probe.hook.site.emulated; }));
}

std::string distance_text(std::uint64_t offset, std::uint64_t entry) {
  return fmt::format("+{}", offset - entry);
}

/// How the return of a function is seen; empty: that is not needed.
std::string returns_text(const ListedProbe& probe) {
  const tracer::Hook& hook = probe.hook;
  if (!hook.declined.empty()) return "not hooked: " + hook.declined;
  if (!probe.needs_return) return {};
  if (!hook.has_own_returns()) return "return: by the kernel's trampoline";
  return fmt::format("return: at {} of its instructions, {}", hook.returns.size(),
                     cost_of(hook.returns.front()));
}

void print_probe(std::string& out, const ListedProbe& probe, std::size_t name_width,
                 std::size_t text_width) {
  const tracer::ProbeSite& site = probe.hook.site;
  auto to = std::back_inserter(out);
  std::string line = fmt::format("  {:<{}}  {:#9x}  {:>4}  {:<{}}  {} ({})", probe.function,
                                 name_width, site.entry, distance_text(site.offset, site.entry),
                                 site.instruction.empty() ? "?" : site.instruction, text_width,
                                 cost_of(site), tracer::class_name(site.of_class));
  if (site.pushed != 0) line += fmt::format(", {} bytes pushed", site.pushed);
  if (!site.why_entry.empty() && !site.emulated) line += ": " + site.why_entry;
  out += line + '\n';
  for (const tracer::PassedOver& one : site.passed_over) {
    fmt::format_to(to, "  {:<{}}  {:9}  {:>4}  {:<{}}  not: {}\n", "", name_width, "",
                   distance_text(one.offset, site.entry), one.instruction, text_width, one.why);
  }
  if (const std::string returns = returns_text(probe); !returns.empty()) {
    fmt::format_to(to, "  {:<{}}  {:9}  {}\n", "", name_width, "", returns);
  }
}

/// How the return is seen: `by` is "nothing" where that is not needed.
nlohmann::ordered_json return_json(const ListedProbe& probe) {
  using nlohmann::ordered_json;
  auto instructions = ordered_json::array();
  for (const tracer::ProbeSite& site : probe.hook.returns) {
    instructions.push_back(
        {{"offset", site.offset}, {"instruction", site.instruction}, {"emulated", site.emulated}});
  }
  const char* by = "nothing";
  if (probe.needs_return) by = probe.hook.has_own_returns() ? "instructions" : "trampoline";
  return {{"by", probe.hook.declined.empty() ? by : "declined"},
          {"why", probe.hook.declined},
          {"instructions", instructions}};
}

}  // namespace

Result<std::string> find_library(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  if (auto maps = tracer::read_maps(::getpid())) {
    for (const tracer::Mapping& mapping : *maps) {
      if (mapping.executable && mapping.is_file() && mapping.path.ends_with("/" + name)) {
        return mapping.path;
      }
    }
  }
  for (const char* folder : kFolders) {
    if (std::string path = fmt::format("{}/{}", folder, name); is_file(path)) return path;
  }
  return fail(fmt::format("no library {} in the standard folders", name), "give its path");
}

Result<ProbeListing> list_probes(const std::string& name, tracer::ElfReader& reader) {
  auto path = find_library(name);
  if (!path) return path.unexpected();
  const auto all = catalog::memory_rows();
  const std::vector<catalog::Row> rows(all.begin(), all.end());
  auto module = open_module(*path, rows, reader);
  if (!module) return module.unexpected();
  ProbeListing listing{.path = *path, .probes = {}, .trial = tracer::site_trial()};
  for (tracer::Hook& hook : tracer::find_hooks(rows, *module, reader, listing.trial.emulated)) {
    const catalog::Row& row = rows[hook.row];
    listing.probes.push_back({row.symbol, std::move(hook), row.needs_return()});
  }
  if (listing.probes.empty()) {
    return fail(*path + " has no function that leaktrace hooks",
                "it defines none, or what it acquires comes from malloc, where it is counted");
  }
  return listing;
}

std::string probe_listing_text(const ProbeListing& listing) {
  auto out = fmt::format("{}: {} of {} probes are on an instruction that this kernel emulates.\n",
                         listing.path, count_emulated(listing), listing.probes.size());
  if (!listing.trial.failure.empty()) {
    out += fmt::format(
        "What the kernel emulates could not be tried ({}): what every kernel does is assumed.\n",
        listing.trial.failure);
  }
  std::size_t name_width = 8;
  std::size_t text_width = 11;
  for (const ListedProbe& probe : listing.probes) {
    name_width = std::max(name_width, probe.function.size());
    text_width = std::max(text_width, probe.hook.site.instruction.size());
    for (const auto& one : probe.hook.site.passed_over) {
      text_width = std::max(text_width, one.instruction.size());
    }
  }
  out += fmt::format("\n  {:<{}}  {:>9}  {:>4}  {:<{}}  {}\n", "function", name_width, "offset",
                     "at", "instruction", text_width, "a probe is");
  for (const ListedProbe& probe : listing.probes) print_probe(out, probe, name_width, text_width);
  return out;
}

std::string probe_listing_json(const ProbeListing& listing) {
  using nlohmann::ordered_json;
  auto functions = ordered_json::array();
  for (const ListedProbe& probe : listing.probes) {
    const tracer::ProbeSite& site = probe.hook.site;
    auto passed_over = ordered_json::array();
    for (const tracer::PassedOver& one : site.passed_over) {
      passed_over.push_back({{"distance", one.offset - site.entry},
                             {"instruction", one.instruction},
                             {"why", one.why}});
    }
    functions.push_back({{"function", probe.function},
                         {"entry_offset", site.entry},
                         {"offset", site.offset},
                         {"distance", site.offset - site.entry},
                         {"instruction", site.instruction},
                         {"class", tracer::class_name(site.of_class)},
                         {"emulated", site.emulated},
                         {"pushed_bytes", site.pushed},
                         {"why_entry", site.why_entry},
                         {"passed_over", passed_over},
                         {"return", return_json(probe)}});
  }
  const ordered_json document = {{"version", 1},
                                 {"file", listing.path},
                                 {"tried", listing.trial.failure.empty()},
                                 {"failure", listing.trial.failure},
                                 {"functions", functions}};
  return document.dump(2, ' ', false, ordered_json::error_handler_t::replace) + '\n';
}

}  // namespace leaktrace::app
