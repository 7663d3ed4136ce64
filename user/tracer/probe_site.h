// SPDX-License-Identifier: Apache-2.0
// Where in a function a probe goes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "user/base/result.h"
#include "user/catalog/row.h"
#include "user/tracer/elf_image.h"
#include "user/tracer/instruction.h"

namespace leaktrace::tracer {

/// What a probe's programs need to be as it was when the function was entered.
struct SiteNeeds {
  std::uint32_t arguments = 0;  ///< registers of arguments, one bit each
  bool stack_pointer = false;   ///< a return probe finds the return address through it
};
[[nodiscard]] SiteNeeds needs_of(const catalog::Row& row);

/// An instruction of a function that was looked at, and why the probe is not on it.
struct PassedOver {
  std::uint64_t offset = 0;  ///< in the file
  std::size_t size = 0;
  std::string instruction;
  std::string why;
};

/// The place of a function's probe.
///
///     entry ──▶ test %rdi, %rdi     passed over: the kernel would single-step it
///     offset ─▶ je   0x98fb8        emulated; every call comes by, nothing jumps in between
///               push %rbp
struct ProbeSite {
  std::uint64_t entry = 0;   ///< of the function, in the file
  std::uint64_t offset = 0;  ///< of the probe, in the file
  std::size_t size = 0;      ///< of its instruction; 0: it could not be decoded
  InstructionClass of_class = InstructionClass::other;
  std::string instruction;
  bool emulated = false;
  std::uint32_t pushed = 0;             ///< bytes on the stack between entry and probe
  std::vector<PassedOver> passed_over;  ///< before the probe, from the entry on
  std::string why_entry;                ///< the probe is on a first instruction that is stepped
};

/// Bytes at the beginning of a function that are looked at, at most.
inline constexpr std::size_t kMostSiteBytes = 16 * 15;

/// Chooses from the first bytes of a function, `code`, which end where the function does: the
/// first instruction that the kernel emulates, that every call executes, and where everything in
/// `needs` still is as it was at the entry; else the first. Jumps into the code before it are
/// for the caller to look for.
[[nodiscard]] ProbeSite choose_site(const Decoder& decoder, std::span<const std::uint8_t> code,
                                    std::uint64_t entry, const SiteNeeds& needs,
                                    const ClassSet& emulated);

/// A function of a file to be probed.
struct SiteRequest {
  FunctionSymbol function;
  SiteNeeds needs;
};

/// A site for each request, in their order. Reads the file's executable segments once when a site
/// is not a function's first instruction: to be sure that no jump leads in between. A function
/// that cannot be read or decoded is probed at its first byte.
[[nodiscard]] std::vector<ProbeSite> choose_sites(int fd, const ElfImage& image,
                                                  std::span<const SiteRequest> requests,
                                                  const ClassSet& emulated);

}  // namespace leaktrace::tracer
