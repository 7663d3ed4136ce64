// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>
#include <vector>

namespace leaktrace::symbolize {

struct NewSection {
  std::string_view name;
  std::string_view bytes;
};

/// A little ELF file of this machine's byte order and 64 bits, with these sections and no more: for
/// debug information that is put together here and read by libdw.
[[nodiscard]] std::vector<char> build_elf(std::span<const NewSection> sections);

}  // namespace leaktrace::symbolize
