// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/address_space.h"

#include <iterator>

namespace leaktrace::tracer {

void AddressSpace::add(const Mapping& mapping, const Module* module) {
  auto first = ranges_.lower_bound(mapping.start);
  if (first != ranges_.begin() && std::prev(first)->second.end > mapping.start) --first;
  auto last = ranges_.lower_bound(mapping.end);
  ranges_.erase(first, last);
  ranges_[mapping.start] = {mapping.end, mapping.offset, module};
}

std::optional<Location> AddressSpace::locate(std::uint64_t address) const {
  auto after = ranges_.upper_bound(address);
  if (after == ranges_.begin()) return std::nullopt;
  const auto& [start, range] = *std::prev(after);
  if (address >= range.end) return std::nullopt;
  auto in_elf = range.module->image.address_of(address - start + range.file_offset);
  if (!in_elf) return std::nullopt;
  return Location{range.module, *in_elf};
}

}  // namespace leaktrace::tracer
