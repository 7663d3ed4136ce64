// SPDX-License-Identifier: Apache-2.0
// DWARF that lies in files beside the one that is read. libdw opens such files by itself, under
// whatever name the (foreign) file gives; these functions stand before it.
#pragma once

#include <elfutils/libdw.h>

#include <memory>
#include <optional>

#include "user/symbolize/elf_file.h"

namespace leaktrace::symbolize {

/// The DIE of the unit that the skeleton `unit` of `file` stands for (-gsplit-dwarf), from its
/// .dwo file; nothing when `unit` is no skeleton or there is no such file. Packages (.dwp) are read
/// as far as the installed libdw does.
[[nodiscard]] std::optional<Dwarf_Die> split_unit(Dwarf_Die unit, const ElfFile& file);

/// Debug information without content, to be given to dwarf_setalt() where the file that
/// .gnu_debugaltlink names was not found: libdw then looks for none, and references into it fail
/// one by one.
[[nodiscard]] std::unique_ptr<ElfFile> empty_debug_file();

}  // namespace leaktrace::symbolize
