// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/site_identity.h"

#include <algorithm>
#include <cstddef>

#include "user/analyze/label.h"

namespace leaktrace::analyze {
namespace {

/// Between the parts of a key; no name holds it.
constexpr char kEnd = '\0';

/// What compilers append to a function's name, with a number, where they make a variant of it.
constexpr std::array<std::string_view, 6> kVariants = {".constprop", ".isra",     ".part",
                                                       ".cold",      ".lto_priv", ".llvm"};

/// Where a variant's suffix begins, or npos. A suffix is followed by a number, or by nothing.
std::size_t find_suffix(std::string_view function, std::string_view variant) {
  for (std::size_t at = function.find(variant, 1); at != std::string_view::npos;
       at = function.find(variant, at + 1)) {
    const std::string_view rest = function.substr(at + variant.size());
    const bool numbered =
        rest.size() > 1 && rest[0] == '.' && rest.find_first_of("0123456789") == 1;
    if (rest.empty() || numbered) return at;
  }
  return std::string_view::npos;
}

void add(std::string& key, std::string_view part) {
  key += part;
  key += kEnd;
}

bool is_perf_map(std::string_view base) {
  return base.starts_with("perf-") && base.ends_with(".map");
}

/// Code whose offsets only number what was seen, in the order in which it was.
bool is_numbered(const ReportFrame& frame) {
  return frame.module == model::kPythonModule || is_perf_map(base_name(frame.module));
}

/// The programs of a report, by name.
std::set<std::string> names_of(const std::map<std::uint32_t, std::string>& names) {
  std::set<std::string> out;
  for (const auto& [pid, name] : names) out.insert(name);
  return out;
}

std::map<std::uint32_t, std::string> program_names(const Report& report) {
  std::map<std::uint32_t, std::string> names;
  for (const ReportTarget& target : report.targets) {
    names[target.pid] = target.exe.empty() ? target.comm : std::string(base_name(target.exe));
  }
  return names;
}

}  // namespace

std::string_view name_over_builds(std::string_view function) {
  std::size_t end = std::min(function.find(" [clone"), function.size());
  for (std::string_view variant : kVariants) {
    end = std::min(end, find_suffix(function, variant));
  }
  return function.substr(0, end);
}

std::string file_over_builds(std::string_view path) {
  const std::string_view base = base_name(path);
  if (is_perf_map(base)) return "perf.map";
  const std::size_t versions = base.find(".so.");
  return std::string(versions == std::string_view::npos ? base : base.substr(0, versions + 3));
}

SiteIdentity::SiteIdentity(const Report& older, const Report& newer) {
  const auto older_names = program_names(older);
  const auto newer_names = program_names(newer);
  one_program_ = names_of(older_names).size() == 1 && names_of(newer_names).size() == 1;
  const auto learn = [&](Known& of, const Report& report, const auto& names) {
    for (const ReportTarget& target : report.targets) {
      of.programs[target.pid] = {one_program_ ? "" : names.at(target.pid), target.exe};
    }
    learn_builds(of, report);
  };
  learn(known_[0], older, older_names);
  learn(known_[1], newer, newer_names);
}

void SiteIdentity::learn_builds(Known& of, const Report& report) const {
  for (const ReportSite& site : report.sites) {
    const Program owner = program(of, site);
    for (const ReportFrame& frame : site.stack) {
      if (!frame.build_id.empty()) of.builds[file(frame, owner)].insert(frame.build_id);
    }
  }
}

SiteIdentity::Program SiteIdentity::program(const Known& of, const ReportSite& site) {
  const auto found = of.programs.find(site.pid);
  return found == of.programs.end() ? Program{site.comm, {}} : found->second;
}

/// Under the program's name, the executable: a new version of it may have another path.
std::string SiteIdentity::file(const ReportFrame& frame, const Program& program) {
  if (!program.exe.empty() && frame.module == program.exe) {
    return "executable " + program.name;
  }
  return "file " + file_over_builds(frame.module);
}

bool SiteIdentity::was_rebuilt(const ReportFrame& frame, const std::string& file) const {
  if (frame.build_id.empty()) return true;  // nobody can say that it was not
  const auto older = known(Side::older).builds.find(file);
  const auto newer = known(Side::newer).builds.find(file);
  return older != known(Side::older).builds.end() && newer != known(Side::newer).builds.end() &&
         older->second != newer->second;
}

std::string SiteIdentity::begin(const Program& program, const ReportSite& site) {
  std::string key;
  add(key, program.name);
  add(key, model::kind_name(site.kind));
  return key;
}

void SiteIdentity::add_exact(std::string& key, const ReportFrame& frame, const std::string& file) {
  if (!frame.build_id.empty()) {
    add(key, frame.build_id);
    add(key, std::to_string(frame.offset));
    return;
  }
  add(key, file);
  add(key, frame.source.function);
  if (is_numbered(frame)) {
    add(key, base_name(frame.source.file));
    add(key, std::to_string(frame.source.line));
  } else if (!frame.module.empty()) {
    add(key, std::to_string(frame.offset));
  }
}

std::string SiteIdentity::exact(Side side, const ReportSite& site) const {
  const Program owner = program(known(side), site);
  std::string key = begin(owner, site);
  for (const ReportFrame& frame : site.stack) {
    // At the same offset as the function that holds it; seen only where there is debug information.
    if (!frame.source.inlined) add_exact(key, frame, file(frame, owner));
  }
  return key;
}

std::optional<std::string> SiteIdentity::by_names(Side side, const ReportSite& site) const {
  const Program owner = program(known(side), site);
  const std::size_t naming = naming_frame(site.stack);
  std::string key = begin(owner, site);
  for (std::size_t i = 0; i < site.stack.size(); ++i) {
    const ReportFrame& frame = site.stack[i];
    const std::string name = file(frame, owner);
    if (!was_rebuilt(frame, name)) {
      if (!frame.source.inlined) add_exact(key, frame, name);
      continue;
    }
    if (i == naming && frame.source.function.empty()) return std::nullopt;
    add(key, name);
    // A script's names are its author's.
    add(key, is_numbered(frame) ? std::string_view(frame.source.function)
                                : name_over_builds(frame.source.function));
  }
  return key;
}

}  // namespace leaktrace::analyze
