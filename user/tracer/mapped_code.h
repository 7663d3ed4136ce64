// SPDX-License-Identifier: Apache-2.0
// What a process has in memory where a probe is to go.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "user/base/unique_fd.h"
#include "user/catalog/allocators.h"
#include "user/tracer/instruction.h"
#include "user/tracer/probe_site.h"
#include "user/tracer/procfs.h"

namespace leaktrace::tracer {

/// How the code between a function's entry and the end of the probe's instruction stands to the
/// file. The kernel executes the file's instruction where it has a probe, so a probe on code that
/// was changed would change what the process does.
enum class CodeState : std::uint8_t {
  as_in_file,      ///< but for what other uprobes put there
  has_breakpoint,  ///< of a uprobe or of a debugger
  patched,
};

/// What a process's memory says of a probe that was attached.
enum class ProbeState : std::uint8_t {
  there,
  missing,  ///< the memory is as the file is
  unknown,  ///< it cannot be read, or holds something else
};

/// An instruction of the code, by its distance from the entry.
struct CodePart {
  std::size_t at = 0;
  std::size_t size = 0;
};

/// Addresses from `start` to `end`.
struct AddressRange {
  std::uint64_t start = 0;
  std::uint64_t end = 0;
};

/// Compares code. `memory` and `file` are of one length; `address` is where `memory` begins in the
/// process; `trampolines` are the places that newer kernels let five-byte nops call for a uprobe.
[[nodiscard]] CodeState compare_code(Machine machine, std::span<const std::uint8_t> memory,
                                     std::span<const std::uint8_t> file,
                                     std::span<const CodePart> instructions, std::uint64_t address,
                                     std::span<const AddressRange> trampolines);

/// The code of one file in the memory of one process.
class MappedCode {
 public:
  /// `maps`: all mappings of the process. `file`: one that maps the file. Where the memory cannot
  /// be read, nothing is objected to.
  MappedCode(pid_t pid, const std::vector<Mapping>& maps, const Mapping& file);

  /// Why the site must not be probed, in a few words; empty: it may be. `fd`: the file.
  [[nodiscard]] std::string_view objection(int fd, const ProbeSite& site) const;

  /// Is a probe at that offset of the file in the memory? `fd`: the file. The mappings that this
  /// was made with must be newer than the probe.
  [[nodiscard]] ProbeState probe_state(int fd, std::uint64_t offset) const;

 private:
  [[nodiscard]] bool leads_to_trampoline(std::span<const std::uint8_t> call,
                                         std::uint64_t address) const;
  [[nodiscard]] std::optional<std::uint64_t> address_of(std::uint64_t offset,
                                                        std::size_t size) const;

  UniqueFd memory_;
  std::vector<Mapping> mappings_;  ///< of the file, executable
  std::vector<AddressRange> trampolines_;
  bool debugged_ = false;
  const catalog::Translator* translator_ = nullptr;  ///< the code runs translated
};

}  // namespace leaktrace::tracer
