// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/mapped_code.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>

#include "user/base/file.h"
#include "user/base/log.h"
#include "user/tracer/file_bytes.h"

namespace leaktrace::tracer {
namespace {

using Bytes = std::span<const std::uint8_t>;

constexpr std::uint8_t kX86Breakpoint = 0xcc;
constexpr std::uint8_t kX86Call = 0xe8;
constexpr std::size_t kX86CallSize = 5;

bool is_breakpoint(Machine machine, Bytes code) {
  if (machine == Machine::x86_64) return !code.empty() && code[0] == kX86Breakpoint;
  std::uint32_t word = 0;
  if (code.size() < sizeof(word)) return false;
  std::memcpy(&word, code.data(), sizeof(word));
  return (word & 0xffe0001f) == 0xd4200000;  // brk
}

// Where the last four bytes of a five-byte instruction lead, if they are a distance.
std::uint64_t call_target(Bytes code, std::uint64_t address) {
  std::int32_t distance = 0;
  std::memcpy(&distance, code.data() + 1, sizeof(distance));
  return address + code.size() + static_cast<std::uint64_t>(std::int64_t{distance});
}

/// One instruction that differs from the file's.
CodeState compare_instruction(Machine machine, Bytes memory, Bytes file, std::uint64_t address,
                              std::span<const AddressRange> trampolines) {
  const std::size_t breakpoint = machine == Machine::arm64 ? 4 : 1;
  const bool same_rest = memory.size() >= breakpoint &&
                         std::ranges::equal(memory.subspan(breakpoint), file.subspan(breakpoint));
  if (is_breakpoint(machine, memory) && same_rest) return CodeState::has_breakpoint;
  if (classify(machine, file) != InstructionClass::nop_five) return CodeState::patched;
  // Also while the kernel is about to change it: a breakpoint, and the call's distance behind it.
  const std::uint64_t target = call_target(memory, address);
  const bool leads_to_trampoline = std::ranges::any_of(trampolines, [&](const AddressRange& one) {
    return target >= one.start && target < one.end;
  });
  const bool expected = memory[0] == kX86Call || memory[0] == kX86Breakpoint;
  return expected && leads_to_trampoline ? CodeState::as_in_file : CodeState::patched;
}

std::vector<CodePart> parts_of(const ProbeSite& site) {
  std::vector<CodePart> parts;
  for (const PassedOver& one : site.passed_over) {
    if (one.offset < site.offset) parts.push_back({one.offset - site.entry, one.size});
  }
  // What cannot be decoded is at least a breakpoint long.
  constexpr std::size_t kLeast = kOwnMachine == Machine::arm64 ? 4 : 1;
  parts.push_back({site.offset - site.entry, std::max(site.size, kLeast)});
  return parts;
}

// Does this thread run leaktrace, in this process or another? It holds programs while they start,
// and sets no breakpoints.
bool is_leaktrace(const std::string& thread) {
  struct stat own {};
  struct stat other {};
  return ::stat("/proc/self/exe", &own) == 0 &&
         ::stat(("/proc/" + thread + "/exe").c_str(), &other) == 0 && own.st_dev == other.st_dev &&
         own.st_ino == other.st_ino;
}

bool has_debugger(pid_t pid) {
  auto status = read_file(fmt::format("/proc/{}/status", pid));
  if (!status) return false;
  constexpr std::string_view kField = "\nTracerPid:\t";
  const auto field = status->find(kField);
  if (field == std::string::npos) return false;
  const auto from = field + kField.size();
  const std::string thread = status->substr(from, status->find('\n', from) - from);
  return thread != "0" && !is_leaktrace(thread);
}

}  // namespace

CodeState compare_code(Machine machine, std::span<const std::uint8_t> memory,
                       std::span<const std::uint8_t> file, std::span<const CodePart> instructions,
                       std::uint64_t address, std::span<const AddressRange> trampolines) {
  CodeState worst = CodeState::as_in_file;
  for (const CodePart& one : instructions) {
    const Bytes there = memory.subspan(one.at, one.size);
    const Bytes expected = file.subspan(one.at, one.size);
    if (std::ranges::equal(there, expected)) continue;
    worst = std::max(worst,
                     compare_instruction(machine, there, expected, address + one.at, trampolines));
  }
  return worst;
}

MappedCode::MappedCode(pid_t pid, const std::vector<Mapping>& maps, const Mapping& file)
    : memory_(::open(fmt::format("/proc/{}/mem", pid).c_str(), O_RDONLY | O_CLOEXEC)),
      debugged_(has_debugger(pid)) {
  if (!memory_) log::debug("{}", describe_errno(fmt::format("memory of process {}", pid), errno));
  for (const Mapping& one : maps) {
    const bool same_file = one.device == file.device && one.inode == file.inode;
    if (same_file && one.executable) mappings_.push_back(one);
    if (one.path == "[uprobes-trampoline]") trampolines_.push_back({one.start, one.end});
    if (translator_ == nullptr) translator_ = catalog::translator_of(one.path);
  }
}

std::optional<std::uint64_t> MappedCode::address_of(std::uint64_t offset, std::size_t size) const {
  for (const Mapping& one : mappings_) {
    const std::uint64_t bytes = one.end - one.start;
    if (offset >= one.offset && offset - one.offset + size <= bytes) {
      return one.start + (offset - one.offset);
    }
  }
  return std::nullopt;
}

std::string_view MappedCode::objection(int fd, const ProbeSite& site) const {
  if (translator_ != nullptr)
    return "its code is translated (by valgrind or the like), and a probe would kill it";
  const std::vector<CodePart> parts = parts_of(site);
  const std::size_t size = parts.back().at + parts.back().size;
  const auto address = address_of(site.entry, size);
  if (!memory_ || !address) return {};
  const auto memory = read_bytes(memory_.get(), *address, size);
  const auto file = read_bytes(fd, site.entry, size);
  if (memory.size() < size || file.size() < size) return {};
  switch (compare_code(kOwnMachine, memory, file, parts, *address, trampolines_)) {
    case CodeState::as_in_file:
      return {};
    case CodeState::has_breakpoint:
      return debugged_ ? "may have a breakpoint of the debugger" : std::string_view();
    case CodeState::patched:
      break;
  }
  return "patched in memory";
}

bool MappedCode::leads_to_trampoline(Bytes call, std::uint64_t address) const {
  if (call.size() < kX86CallSize || call[0] != kX86Call) return false;
  const std::uint64_t target = call_target(call.first(kX86CallSize), address);
  return std::ranges::any_of(trampolines_, [&](const AddressRange& one) {
    return target >= one.start && target < one.end;
  });
}

ProbeState MappedCode::probe_state(int fd, std::uint64_t offset) const {
  constexpr std::size_t kProbe = kOwnMachine == Machine::arm64 ? 4 : 1;
  const auto address = address_of(offset, kProbe);
  if (!memory_ || !address) return ProbeState::unknown;
  const auto memory = read_bytes(memory_.get(), *address, kX86CallSize);
  const auto file = read_bytes(fd, offset, kProbe);
  if (memory.size() < kProbe || file.size() < kProbe) return ProbeState::unknown;
  // What is behind the probe's own bytes may be another probe.
  if (std::ranges::equal(Bytes(memory).first(kProbe), file)) return ProbeState::missing;
  const bool there = is_breakpoint(kOwnMachine, memory) || leads_to_trampoline(memory, *address);
  return there ? ProbeState::there : ProbeState::unknown;
}

}  // namespace leaktrace::tracer
