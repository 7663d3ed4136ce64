// SPDX-License-Identifier: Apache-2.0
#include "user/symbolize/split_dwarf.h"

#include <dwarf.h>
#include <elf.h>

#include <bit>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "user/symbolize/dies.h"

namespace leaktrace::symbolize {
namespace {

namespace fs = std::filesystem;

const char* dwo_name(Dwarf_Die& unit) {
  const char* name = text(unit, DW_AT_dwo_name);
  return name != nullptr ? name : text(unit, DW_AT_GNU_dwo_name);
}

bool missing_or_regular(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  return status.type() == fs::file_type::not_found || status.type() == fs::file_type::regular;
}

// libdw tries the folder of the file that holds the skeleton and the one of the compilation. It
// must not open a device or a pipe, whatever the skeleton names.
bool may_open(const char* name, const char* compilation_folder, const ElfFile& file) {
  const fs::path folder = fs::path(file.location()).parent_path();
  if (!missing_or_regular(folder / name)) return false;
  return compilation_folder == nullptr || missing_or_regular(folder / compilation_folder / name);
}

}  // namespace

std::optional<Dwarf_Die> split_unit(Dwarf_Die unit, const ElfFile& file) {
  const char* name = dwo_name(unit);
  if (name == nullptr || !may_open(name, text(unit, DW_AT_comp_dir), file)) {
    return std::nullopt;
  }
  Dwarf_Die split;
  std::uint8_t type = 0;
  if (::dwarf_cu_info(unit.cu, nullptr, &type, nullptr, &split, nullptr, nullptr, nullptr) != 0) {
    return std::nullopt;
  }
  if (type != DW_UT_skeleton || ::dwarf_tag(&split) != DW_TAG_compile_unit) return std::nullopt;
  return split;
}

std::unique_ptr<ElfFile> empty_debug_file() {
  static constexpr std::string_view kNames("\0.shstrtab\0.debug_str\0", 22);
  struct {
    Elf64_Ehdr file{};
    Elf64_Shdr sections[3]{};
    char names[kNames.size() + 2]{};
  } image;
  std::memcpy(image.file.e_ident, ELFMAG, SELFMAG);
  image.file.e_ident[EI_CLASS] = ELFCLASS64;
  image.file.e_ident[EI_DATA] =
      std::endian::native == std::endian::little ? ELFDATA2LSB : ELFDATA2MSB;
  image.file.e_ident[EI_VERSION] = EV_CURRENT;
  image.file.e_type = ET_REL;
  image.file.e_version = EV_CURRENT;
  image.file.e_ehsize = sizeof(Elf64_Ehdr);
  image.file.e_shoff = offsetof(decltype(image), sections);
  image.file.e_shentsize = sizeof(Elf64_Shdr);
  image.file.e_shnum = 3;
  image.file.e_shstrndx = 1;
  std::memcpy(image.names, kNames.data(), kNames.size());
  for (int i : {1, 2}) {  // both hold the section names
    image.sections[i].sh_name = i == 1 ? 1 : 11;
    image.sections[i].sh_type = i == 1 ? SHT_STRTAB : SHT_PROGBITS;
    image.sections[i].sh_offset = offsetof(decltype(image), names);
    image.sections[i].sh_size = kNames.size();
    image.sections[i].sh_addralign = 1;
  }
  const char* bytes = reinterpret_cast<const char*>(&image);
  auto file = ElfFile::from_memory(std::vector<char>(bytes, bytes + sizeof(image)));
  return file ? std::move(*file) : nullptr;
}

}  // namespace leaktrace::symbolize
