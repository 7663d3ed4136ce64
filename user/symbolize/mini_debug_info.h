// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "user/base/result.h"
#include "user/symbolize/elf_file.h"

namespace leaktrace::symbolize {

/// Unpacks xz data. Bounded: the decoder may take 256 MiB, its result 64 MiB.
[[nodiscard]] Result<std::vector<char>> unpack_xz(std::string_view packed);

/// The ELF file with the symbols that .dynsym lacks, which Fedora and others pack into
/// .gnu_debugdata; null when `file` has none.
[[nodiscard]] Result<std::unique_ptr<ElfFile>> mini_debug_info(const ElfFile& file);

}  // namespace leaktrace::symbolize
