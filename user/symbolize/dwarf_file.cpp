// SPDX-License-Identifier: Apache-2.0
#include "user/symbolize/dwarf_file.h"

#include <dwarf.h>
#include <elfutils/libdwelf.h>
#include <fmt/core.h>

#include <utility>

#include "user/symbolize/debug_files.h"
#include "user/symbolize/dies.h"
#include "user/symbolize/split_dwarf.h"

namespace leaktrace::symbolize {
namespace {

std::string hex(const void* bytes, ssize_t size) {
  std::string text;
  for (ssize_t i = 0; i < size; ++i) {
    text += fmt::format("{:02x}", static_cast<const unsigned char*>(bytes)[i]);
  }
  return text;
}

}  // namespace

std::unique_ptr<DwarfFile> DwarfFile::open(const ElfFile& file, const DebugFileQuery& query,
                                           FileLosses& losses) {
  const bool claims = file.names_section(".debug_info") || file.names_section(".zdebug_info");
  if (file.unpacked_size() > kMostUnpacked) {
    losses.add(query.path, fmt::format("its compressed sections would take {} MiB",
                                       file.unpacked_size() >> 20));
    return nullptr;
  }
  std::unique_ptr<DwarfFile> result(new DwarfFile(file, query, losses));
  result->dwarf_.reset(::dwarf_begin_elf(file.elf(), DWARF_C_READ, nullptr));
  if (!result->dwarf_) {
    if (claims) losses.add(query.path, fmt::format("cannot read its DWARF: {}", dwarf_errmsg(-1)));
    return nullptr;
  }
  result->set_alternate(query.root);
  result->read_units();
  return result->units_.empty() ? nullptr : std::move(result);
}

void DwarfFile::set_alternate(const ForeignRoot& root) {
  const char* name = nullptr;
  const void* id = nullptr;
  const ssize_t size = ::dwelf_dwarf_gnu_debugaltlink(dwarf_.get(), &name, &id);
  if (size == 0) return;
  if (size > 0) {
    alternate_file_ =
        find_alternate_file({name, hex(id, size)}, path_in_root(root, file_.fd()), root);
  }
  if (!alternate_file_) {
    losses_.add(path_,
                fmt::format("names in {}, which was not found", size > 0 ? name : "a dwz file"), 1);
    alternate_file_ = empty_debug_file();
  }
  if (!alternate_file_) return;
  alternate_.reset(::dwarf_begin_elf(alternate_file_->elf(), DWARF_C_READ, nullptr));
  if (alternate_) ::dwarf_setalt(dwarf_.get(), alternate_.get());
}

void DwarfFile::read_units() {
  Dwarf_CU* unit = nullptr;
  Dwarf_Half version = 0;
  std::uint8_t type = 0;
  Dwarf_Die die;
  int status = 0;
  while ((status = ::dwarf_get_units(dwarf_.get(), unit, &unit, &version, &type, &die, nullptr)) ==
         0) {
    if (::dwarf_tag(&die) != DW_TAG_compile_unit && ::dwarf_tag(&die) != DW_TAG_skeleton_unit) {
      continue;
    }
    const auto number = static_cast<std::uint32_t>(units_.size());
    const auto ranges = code_ranges(die, file_);
    for (const AddressRange& range : ranges) map_.add(range, number);
    if (ranges.empty()) without_ranges_.push_back(number);
    units_.emplace_back(die, UnitContext{file_, scopes_, split_, path_, losses_});
  }
  if (status < 0) losses_.add(path_, "units behind one that is damaged", 1);
  map_.seal();
}

void DwarfFile::read_units_without_ranges() {
  if (without_ranges_.empty()) return;
  for (std::uint32_t number : std::exchange(without_ranges_, {})) {
    for (const AddressRange& range : units_[number].function_ranges()) {
      second_map_.add(range, number);
    }
  }
  second_map_.seal();
}

DwarfFrames DwarfFile::look_up(std::uint64_t address) {
  auto unit = map_.find(address);
  if (!unit) {
    read_units_without_ranges();
    unit = second_map_.find(address);
  }
  return unit ? units_[*unit].look_up(address) : DwarfFrames();
}

}  // namespace leaktrace::symbolize
