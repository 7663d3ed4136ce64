// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/process_memory.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <string>

#include "user/base/file.h"
#include "user/base/unique_fd.h"
#include "user/tracer/procfs.h"

namespace leaktrace::tracer {
namespace {

constexpr std::size_t kMapsBytes = std::size_t{32} * 1024;

std::uint64_t number(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// A number of KiB behind "Name:".
std::optional<std::uint64_t> kib_field(std::string_view status, std::string_view name) {
  const std::string text = status_field(status, name);
  if (text.empty()) return std::nullopt;
  return number(text) * 1024;
}

// The field of /proc/PID/stat with this number in proc(5). The second, the command's name, is in
// parentheses and may hold anything.
std::string_view stat_field(std::string_view stat, int field) {
  const std::size_t name_ends = stat.rfind(')');
  if (name_ends == std::string_view::npos) return {};
  std::size_t at = name_ends + 1;
  for (int i = 3; at < stat.size(); ++i) {
    at = stat.find_first_not_of(' ', at);
    if (at == std::string_view::npos) break;
    const std::size_t end = stat.find_first_of(" \n", at);
    if (i == field) return stat.substr(at, end - at);
    at = end;
  }
  return {};
}

// Fields 14 and 15, user and system time in clock ticks.
std::uint64_t cpu_time_ns(std::string_view stat) {
  const auto ticks_a_second = static_cast<std::uint64_t>(std::max(::sysconf(_SC_CLK_TCK), 1L));
  return (number(stat_field(stat, 14)) + number(stat_field(stat, 15))) *
         (1'000'000'000 / ticks_a_second);
}

std::uint64_t heap_size(std::string_view maps) {
  std::uint64_t bytes = 0;
  for (const Mapping& mapping : parse_maps(maps)) {
    if (mapping.path == "[heap]") bytes += mapping.end - mapping.start;
  }
  return bytes;
}

// The first lines, all whole but perhaps the last.
std::string read_beginning(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  char page[4096];
  while (fd && text.size() < kMapsBytes && text.find("[heap]") == std::string::npos) {
    const ssize_t got = ::read(fd.get(), page, sizeof(page));
    if (got <= 0) break;
    text.append(page, static_cast<std::size_t>(got));
  }
  return text;
}

}  // namespace

std::optional<ProcessMemory> parse_process_memory(std::string_view status, std::string_view stat,
                                                  std::string_view maps) {
  const auto resident = kib_field(status, "VmRSS");
  if (!resident) return std::nullopt;
  return ProcessMemory{.resident_bytes = *resident,
                       .anonymous_bytes = kib_field(status, "RssAnon").value_or(0),
                       .swapped_bytes = kib_field(status, "VmSwap").value_or(0),
                       .heap_bytes = heap_size(maps),
                       .minor_faults = number(stat_field(stat, 10)),
                       .major_faults = number(stat_field(stat, 12)),
                       .cpu_ns = cpu_time_ns(stat)};
}

std::optional<ProcessMemory> read_process_memory(pid_t pid) {
  const auto status = read_file(fmt::format("/proc/{}/status", pid));
  const auto stat = read_file(fmt::format("/proc/{}/stat", pid));
  if (!status || !stat) return std::nullopt;
  return parse_process_memory(*status, *stat, read_beginning(fmt::format("/proc/{}/maps", pid)));
}

}  // namespace leaktrace::tracer
