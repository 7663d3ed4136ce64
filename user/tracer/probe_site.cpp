// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/probe_site.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "user/base/log.h"
#include "user/tracer/file_bytes.h"
#include "user/tracer/jump_scan.h"

namespace leaktrace::tracer {
namespace {

constexpr std::size_t kMostInstructions = 16;

std::uint32_t arguments_of(const lt_value_source& value) {
  switch (value.source) {
    case LT_FROM_ARGUMENT:
    case LT_FROM_POINTEE:
      return 1U << value.argument;
    case LT_FROM_PRODUCT:
      return 1U << value.argument | 1U << value.second;
    default:
      return 0;
  }
}

/// Walks the entry block, keeping account of what is no longer as it was at the entry.
class EntryBlock {
 public:
  EntryBlock(const SiteNeeds& needs, const ClassSet& emulated)
      : needs_(needs), emulated_(emulated) {}

  /// Why no probe goes on this instruction; empty: it is the site.
  [[nodiscard]] std::string refuse(const Instruction& instruction) const {
    if (!contains(emulated_, instruction.of_class)) return "single-stepped";
    // Newer kernels put a call in its place, which pushes: what a function keeps below the stack
    // pointer (its red zone) would be overwritten.
    if (instruction.of_class == InstructionClass::nop_five && stored_) {
      return "what is below the stack pointer may be in use";
    }
    return {};
  }

  /// Why nothing after this instruction can be a site; empty: go on.
  [[nodiscard]] std::string pass(const Instruction& instruction) {
    if (instruction.leaves_block) return "leaves the entry block";
    if ((instruction.arguments_written & needs_.arguments) != 0) return "overwrites an argument";
    if (!instruction.pushed) return "moves the stack pointer";
    if (needs_.stack_pointer && *instruction.pushed != 0) return "moves the stack pointer";
    if (instruction.return_address_written ||
        (needs_.stack_pointer && instruction.return_address_read)) {
      return "uses the return address";
    }
    pushed_ += *instruction.pushed;
    stored_ |= instruction.stores;
    return {};
  }

  [[nodiscard]] std::uint32_t pushed() const { return pushed_; }

 private:
  const SiteNeeds& needs_;
  const ClassSet& emulated_;
  std::uint32_t pushed_ = 0;
  bool stored_ = false;
};

ProbeSite site_at(const Instruction& instruction, std::uint64_t entry, std::uint64_t offset) {
  ProbeSite site;
  site.entry = entry;
  site.offset = offset;
  site.size = instruction.size;
  site.of_class = instruction.of_class;
  site.instruction = instruction.text;
  return site;
}

// The first instruction, for want of a better one. What was looked at stays to be shown.
ProbeSite entry_site(const Decoder& decoder, std::span<const std::uint8_t> code,
                     std::uint64_t entry, const ClassSet& emulated, std::string why) {
  ProbeSite site;
  if (auto first = decoder.decode(code, entry)) {
    site = site_at(*first, entry, entry);
    site.emulated = contains(emulated, first->of_class);
  }
  site.entry = site.offset = entry;
  site.why_entry = std::move(why);
  return site;
}

std::size_t bytes_of(const FunctionSymbol& function) {
  return function.size == 0 ? kMostSiteBytes : std::min<std::size_t>(function.size, kMostSiteBytes);
}

}  // namespace

SiteNeeds needs_of(const catalog::Row& row) {
  SiteNeeds needs;
  for (const lt_value_source* value :
       {&row.abi.handle, &row.abi.weight, &row.abi.old_handle, &row.abi.old_weight, &row.abi.flags,
        &row.abi.pg_sql, &row.abi.pg_name}) {
    needs.arguments |= arguments_of(*value);
  }
  if (row.abi.pg_role != LT_PG_NO_ROLE) needs.arguments |= 1U;  // the connection
  needs.stack_pointer = row.needs_return();
  return needs;
}

ProbeSite choose_site(const Decoder& decoder, std::span<const std::uint8_t> code,
                      std::uint64_t entry, const SiteNeeds& needs, const ClassSet& emulated) {
  EntryBlock block(needs, emulated);
  std::vector<PassedOver> passed_over;
  std::string why = "none of the first instructions is emulated";
  std::size_t at = 0;
  while (passed_over.size() < kMostInstructions && at < code.size()) {
    auto instruction = decoder.decode(code.subspan(at), entry + at);
    if (!instruction) {
      why = "an instruction cannot be decoded";
      break;
    }
    std::string refused = block.refuse(*instruction);
    if (refused.empty()) {
      ProbeSite site = site_at(*instruction, entry, entry + at);
      site.emulated = true;
      site.pushed = block.pushed();
      site.passed_over = std::move(passed_over);
      return site;
    }
    passed_over.push_back({entry + at, instruction->size, instruction->text, refused});
    if (std::string last = block.pass(*instruction); !last.empty()) {
      passed_over.back().why += ", " + last;
      why = "no emulated instruction before one that " + last;
      break;
    }
    at += instruction->size;
  }
  ProbeSite site = entry_site(decoder, code, entry, emulated, std::move(why));
  site.passed_over = std::move(passed_over);
  return site;
}

std::vector<ProbeSite> choose_sites(int fd, const ElfImage& image,
                                    std::span<const SiteRequest> requests,
                                    const ClassSet& emulated) {
  std::vector<ProbeSite> sites;
  const auto machine = machine_of(image.machine);
  auto decoder = machine ? std::optional(Decoder::create(*machine)) : std::nullopt;
  if (decoder && !*decoder) log::debug("{}", decoder->error().message());
  const bool decodes = decoder && decoder->has_value();
  std::vector<CodeWindow> windows;
  for (const SiteRequest& request : requests) {
    const std::uint64_t entry = request.function.file_offset;
    std::vector<std::uint8_t> code = read_bytes(fd, entry, bytes_of(request.function));
    if (decodes && !code.empty()) {
      sites.push_back(choose_site(**decoder, code, entry, request.needs, emulated));
    } else {
      sites.emplace_back();
      sites.back().entry = sites.back().offset = entry;
      sites.back().why_entry = "the function cannot be decoded";
    }
    if (sites.back().offset != entry) windows.push_back({entry, sites.back().offset});
  }
  if (windows.empty()) return sites;
  const std::vector<bool> entered = find_jumps_into(fd, image, **decoder, windows);
  for (std::size_t i = 0, window = 0; i < sites.size(); ++i) {
    if (sites[i].offset == sites[i].entry || !entered[window++]) continue;
    std::vector<std::uint8_t> code = read_bytes(fd, sites[i].entry, bytes_of(requests[i].function));
    ProbeSite first = entry_site(**decoder, code, sites[i].entry, emulated,
                                 "a jump leads in between it and " + sites[i].instruction);
    sites[i] = std::move(first);
  }
  return sites;
}

}  // namespace leaktrace::tracer
