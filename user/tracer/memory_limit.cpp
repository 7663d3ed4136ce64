// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/memory_limit.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <sstream>
#include <utility>

#include "user/base/file.h"

namespace leaktrace::tracer {
namespace {

constexpr std::uint64_t kKiB = 1024;
/// Version 1 says "no limit" with the largest multiple of a page; no machine has an EiB.
constexpr std::uint64_t kNoLimit = std::uint64_t{1} << 60;

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  return value;
}

std::optional<std::uint64_t> read_number(const std::string& path) {
  const auto text = read_file(path);
  return text ? number(*text) : std::nullopt;
}

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

template <typename Handle>
void each_line(const std::string& text, Handle&& handle) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) handle(line);
}

// The number behind a name in lines of "name number", with a colon or without.
std::optional<std::uint64_t> named_number(const std::string& text, std::string_view name) {
  std::optional<std::uint64_t> found;
  each_line(text, [&](const std::string& line) {
    const std::vector<std::string> words = words_of(line);
    if (words.size() >= 2 && words[0] == name) found = number(words[1]);
  });
  return found;
}

std::uint64_t left(const MemoryLimit& limit) {
  return limit.bytes > limit.used_bytes ? limit.bytes - limit.used_bytes : 0;
}

void take_less(std::optional<MemoryLimit>&& limit, std::optional<MemoryLimit>& least) {
  if (limit && (!least || left(*limit) < left(*least))) least = std::move(limit);
}

bool has_option(const std::string& options, std::string_view wanted) {
  return fmt::format(",{},", options).find(fmt::format(",{},", wanted)) != std::string::npos;
}

// The path of a line of /proc/PID/cgroup ("4:memory:/a", "0::/a") that is of this hierarchy.
std::optional<std::string> path_in(const std::string& line, bool unified) {
  const std::size_t first = line.find(':');
  const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
  if (second == std::string::npos) return std::nullopt;
  const std::string controllers = line.substr(first + 1, second - first - 1);
  const bool is_of_it = unified ? controllers.empty() : has_option(controllers, "memory");
  if (!is_of_it) return std::nullopt;
  return line.substr(second + 1);
}

}  // namespace

MemoryLimits::MemoryLimits(std::string root) : root_(std::move(root)) {
  find_hierarchies();
}

// A line of mountinfo (proc_pid_mountinfo(5)): "32 31 0:29 /root /mount/point options [field…] -
// type source options-of-the-file-system".
void MemoryLimits::find_hierarchies() {
  const auto mounts = read_file(root_ + "/proc/self/mountinfo");
  if (!mounts) return;
  each_line(*mounts, [&](const std::string& line) {
    const std::vector<std::string> words = words_of(line);
    const auto dash = std::ranges::find(words, "-");
    if (words.size() < 6 || words.end() - dash < 4) return;
    const bool unified = dash[1] == "cgroup2";
    if (!unified && !(dash[1] == "cgroup" && has_option(dash[3], "memory"))) return;
    hierarchies_.push_back(
        {.unified = unified, .at = root_ + words[4], .from = words[3] == "/" ? "" : words[3]});
  });
}

std::optional<MemoryLimit> MemoryLimits::of_machine() const {
  const auto text = read_file(root_ + "/proc/meminfo");
  if (!text) return std::nullopt;
  const auto field = [&](std::string_view name) { return named_number(*text, name); };
  const auto total = field("MemTotal:");
  const auto available = field("MemAvailable:");
  if (!total || !available) return std::nullopt;
  const std::uint64_t bytes = *total + field("SwapTotal:").value_or(0);
  const std::uint64_t free = *available + field("SwapFree:").value_or(0);
  return MemoryLimit{
      .bytes = bytes * kKiB, .used_bytes = (bytes - std::min(free, bytes)) * kKiB, .cgroup = {}};
}

std::optional<MemoryLimit> MemoryLimits::of_cgroup(const Hierarchy& hierarchy,
                                                   const std::string& path) const {
  const std::string folder = hierarchy.at + path.substr(hierarchy.from.size());
  const bool unified = hierarchy.unified;
  const auto bytes =
      read_number(folder + (unified ? "/memory.max" : "/memory.limit_in_bytes"));  // or "max"
  const auto used = read_number(folder + (unified ? "/memory.current" : "/memory.usage_in_bytes"));
  if (!bytes || !used || *bytes >= kNoLimit) return std::nullopt;
  std::uint64_t droppable = 0;
  if (const auto stat = read_file(folder + "/memory.stat")) {
    droppable = named_number(*stat, unified ? "inactive_file" : "total_inactive_file").value_or(0);
  }
  return MemoryLimit{
      .bytes = *bytes, .used_bytes = *used - std::min(droppable, *used), .cgroup = path};
}

// The cgroup at `path` and those that hold it, as far up as they are seen here.
void MemoryLimits::consider_cgroups(const Hierarchy& hierarchy, std::string path,
                                    std::optional<MemoryLimit>& least) const {
  if (path == "/") path.clear();
  // A process of another namespace is seen above what is mounted: "/../other".
  if (!(path + '/').starts_with(hierarchy.from + '/') || path.starts_with("/..")) return;
  while (true) {
    take_less(of_cgroup(hierarchy, path), least);
    if (path.size() <= hierarchy.from.size()) return;
    path.resize(path.rfind('/'));
  }
}

std::optional<MemoryLimit> MemoryLimits::of(pid_t pid) const {
  std::optional<MemoryLimit> least = of_machine();
  const auto cgroups = read_file(fmt::format("{}/proc/{}/cgroup", root_, pid));
  if (!cgroups) return least;
  for (const Hierarchy& hierarchy : hierarchies_) {
    each_line(*cgroups, [&](const std::string& line) {
      const auto path = path_in(line, hierarchy.unified);
      if (path) consider_cgroups(hierarchy, *path, least);
    });
  }
  return least;
}

}  // namespace leaktrace::tracer
