// SPDX-License-Identifier: Apache-2.0
#include "user/symbolize/elf_builder.h"

#include <elf.h>

#include <bit>
#include <cstring>
#include <string>

namespace leaktrace::symbolize {
namespace {

Elf64_Ehdr file_header(std::size_t sections, std::size_t table_offset) {
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = std::endian::native == std::endian::little ? ELFDATA2LSB : ELFDATA2MSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_REL;
  header.e_version = EV_CURRENT;
  header.e_ehsize = sizeof(Elf64_Ehdr);
  header.e_shoff = table_offset;
  header.e_shentsize = sizeof(Elf64_Shdr);
  header.e_shnum = static_cast<Elf64_Half>(sections);
  header.e_shstrndx = static_cast<Elf64_Half>(sections - 1);
  return header;
}

}  // namespace

//   header | bytes of each section | names | table: null, sections, names
std::vector<char> build_elf(std::span<const NewSection> sections) {
  std::vector<Elf64_Shdr> table(1);
  std::string names(1, '\0');
  std::string content;
  const auto add = [&](std::string_view name, std::string_view bytes, Elf64_Word type) {
    Elf64_Shdr section{};
    section.sh_name = static_cast<Elf64_Word>(names.size());
    section.sh_type = type;
    section.sh_offset = sizeof(Elf64_Ehdr) + content.size();
    section.sh_addralign = 1;
    names.append(name).push_back('\0');
    content.append(bytes);
    section.sh_size = bytes.size();
    table.push_back(section);
  };
  for (const NewSection& section : sections) add(section.name, section.bytes, SHT_PROGBITS);
  add(".shstrtab", {}, SHT_STRTAB);
  table.back().sh_size = names.size();
  content.append(names);
  content.resize((content.size() + 7) / 8 * 8);  // the table is read in place

  const std::size_t table_size = table.size() * sizeof(Elf64_Shdr);
  const Elf64_Ehdr header = file_header(table.size(), sizeof(Elf64_Ehdr) + content.size());
  std::vector<char> image(sizeof(header) + content.size() + table_size);
  std::memcpy(image.data(), &header, sizeof(header));
  std::memcpy(image.data() + sizeof(header), content.data(), content.size());
  std::memcpy(image.data() + sizeof(header) + content.size(), table.data(), table_size);
  return image;
}

}  // namespace leaktrace::symbolize
