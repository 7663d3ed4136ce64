// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/symbolize/huge_tree.h"

#include <fmt/core.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>

namespace leaktrace::symbolize::test {
namespace {

template <typename T>
void append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

}  // namespace

void add_huge_tree(const std::filesystem::path& program, std::size_t functions) {
  // DWARF 4: a unit (DW_TAG_compile_unit, with children), functions (DW_TAG_subprogram), an end.
  std::string unit;
  append(unit, std::uint16_t{4});
  append(unit, std::uint32_t{0});
  append(unit, std::uint8_t{8});
  unit += '\1';
  unit.append(functions, '\2');
  unit += '\0';
  std::string info;
  append(info, static_cast<std::uint32_t>(unit.size()));
  info += unit;
  const std::string abbreviations("\1\x11\1\0\0\2\x2e\0\0\0\0", 11);
  const std::filesystem::path info_file = program.string() + ".info";
  const std::filesystem::path abbreviations_file = program.string() + ".abbrev";
  std::ofstream(info_file) << info;
  std::ofstream(abbreviations_file) << abbreviations;
  const std::string command = fmt::format(
      "objcopy --add-section .debug_info='{0}' --add-section .debug_abbrev='{1}' '{2}' && "
      "objcopy --compress-debug-sections=zlib '{2}'",
      info_file.string(), abbreviations_file.string(), program.string());
  const int status = std::system(command.c_str());
  std::filesystem::remove(info_file);
  std::filesystem::remove(abbreviations_file);
  if (status != 0) throw std::runtime_error(command);
}

}  // namespace leaktrace::symbolize::test
