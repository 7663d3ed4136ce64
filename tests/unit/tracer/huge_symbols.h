// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <elf.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace leaktrace::tracer::test {

/// Writes an ELF file that takes no room on disk and keeps whoever reads it busy, and its memory
/// full: symbol tables in a hole of the file, in which each of the many symbols is one that the
/// file takes from elsewhere, named `name`.
inline void write_huge_symbols(const std::filesystem::path& path, std::size_t tables,
                               std::uint64_t table_bytes, const std::string& name = "malloc") {
  table_bytes -= table_bytes % sizeof(Elf64_Sym);
  Elf64_Ehdr file{};
  const std::string ident =
      std::string(ELFMAG, SELFMAG) + char{ELFCLASS64} + char{ELFDATA2LSB} + char{EV_CURRENT};
  ident.copy(reinterpret_cast<char*>(file.e_ident), ident.size());
  file.e_type = ET_DYN;
  file.e_machine = EM_X86_64;
  file.e_version = EV_CURRENT;
  file.e_ehsize = sizeof(Elf64_Ehdr);
  file.e_phentsize = sizeof(Elf64_Phdr);
  file.e_shentsize = sizeof(Elf64_Shdr);
  file.e_shoff = sizeof(Elf64_Ehdr);
  file.e_shnum = static_cast<Elf64_Half>(2 + tables);
  file.e_shstrndx = 1;
  const std::uint64_t strings = file.e_shoff + file.e_shnum * sizeof(Elf64_Shdr);
  std::vector<Elf64_Shdr> sections(2 + tables);
  sections[1].sh_type = SHT_STRTAB;
  sections[1].sh_offset = strings;
  sections[1].sh_size = name.size() + 1;
  const std::uint64_t hole = (strings + name.size() + 64) / 8 * 8;
  for (std::size_t i = 2; i < sections.size(); ++i) {
    sections[i].sh_type = SHT_SYMTAB;
    sections[i].sh_offset = hole;
    sections[i].sh_size = table_bytes;
    sections[i].sh_entsize = sizeof(Elf64_Sym);
    sections[i].sh_link = 1;
  }
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(&file), sizeof(file));
  out.write(reinterpret_cast<const char*>(sections.data()),
            static_cast<std::streamsize>(sections.size() * sizeof(Elf64_Shdr)));
  out.write(name.c_str(), static_cast<std::streamsize>(name.size() + 1));
  out.close();
  std::filesystem::resize_file(path, hole + table_bytes);
}

}  // namespace leaktrace::tracer::test
