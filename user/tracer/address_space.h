// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "user/tracer/modules.h"
#include "user/tracer/procfs.h"

namespace leaktrace::tracer {

/// Where in which file an address lies.
struct Location {
  const Module* module = nullptr;
  std::uint64_t address = 0;  ///< in the ELF's own numbering (p_vaddr)
};

/// The code mappings of one image, over time: what was unmapped stays known until something else is
/// mapped in its place, so stacks through a library that was closed keep their names.
class AddressSpace {
 public:
  /// Takes in a mapping of code.
  void add(const Mapping& mapping, const Module* module);

  /// Where an address lies; nothing when no known mapping holds it.
  [[nodiscard]] std::optional<Location> locate(std::uint64_t address) const;

 private:
  struct Range {
    std::uint64_t end = 0;
    std::uint64_t file_offset = 0;
    const Module* module = nullptr;
  };
  std::map<std::uint64_t, Range> ranges_;  ///< by start; they do not overlap
};

}  // namespace leaktrace::tracer
