// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/elf_image.h"

#include <elfutils/libdwelf.h>
#include <fmt/core.h>
#include <gelf.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "user/catalog/allocators.h"

namespace leaktrace::tracer {
namespace {

/// Ten times what the largest browsers have. Tables beyond it are left out.
constexpr std::uint64_t kMaxSymbolBytes = std::uint64_t{1} << 30;

using ElfHandle = std::unique_ptr<Elf, decltype([](Elf* elf) { elf_end(elf); })>;

std::string read_build_id(Elf* elf) {
  const void* bits = nullptr;
  ssize_t size = dwelf_elf_gnu_build_id(elf, &bits);
  std::string hex;
  for (ssize_t i = 0; i < size; ++i) {
    hex += fmt::format("{:02x}", static_cast<const unsigned char*>(bits)[i]);
  }
  return hex;
}

std::vector<ElfImage::Segment> read_segments(Elf* elf) {
  std::vector<ElfImage::Segment> segments;
  std::size_t count = 0;
  if (elf_getphdrnum(elf, &count) != 0) return segments;
  for (std::size_t i = 0; i < count; ++i) {
    GElf_Phdr header;
    if (!gelf_getphdr(elf, static_cast<int>(i), &header) || header.p_type != PT_LOAD) continue;
    segments.push_back(
        {header.p_offset, header.p_vaddr, header.p_filesz, (header.p_flags & PF_X) != 0});
  }
  return segments;
}

std::optional<std::uint64_t> file_offset_of(const std::vector<ElfImage::Segment>& segments,
                                            std::uint64_t address) {
  for (const auto& segment : segments) {
    if (address >= segment.address && address - segment.address < segment.file_size) {
      return address - segment.address + segment.file_offset;
    }
  }
  return std::nullopt;
}

std::string read_soname(Elf* elf, Elf_Scn* section, const GElf_Shdr& header) {
  Elf_Data* data = elf_getdata(section, nullptr);
  if (!data || header.sh_entsize == 0) return {};
  const std::size_t count = header.sh_size / header.sh_entsize;
  for (std::size_t i = 0; i < count; ++i) {
    GElf_Dyn entry;
    if (!gelf_getdyn(data, static_cast<int>(i), &entry) || entry.d_tag == DT_NULL) break;
    if (entry.d_tag != DT_SONAME) continue;
    const char* name = elf_strptr(elf, header.sh_link, entry.d_un.d_val);
    return name ? name : "";
  }
  return {};
}

/// Sections that only the Go linker makes (cmd/link/internal/ld): a stripped program keeps them.
bool is_go_section(std::string_view name) {
  return name == ".gopclntab" || name == ".data.rel.ro.gopclntab" || name == ".go.buildinfo";
}

void read_section_marks(Elf* elf, LibraryMarks& marks) {
  std::size_t names = 0;
  if (elf_getshdrstrndx(elf, &names) != 0) return;
  for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf, section)) != nullptr;) {
    GElf_Shdr header;
    if (!gelf_getshdr(section, &header)) continue;
    const char* name = elf_strptr(elf, names, header.sh_name);
    if (name && is_go_section(name)) marks.go = true;
    if (header.sh_type == SHT_DYNAMIC) marks.soname = read_soname(elf, section, header);
  }
}

void take_mark(std::string_view name, LibraryMarks& marks) {
  if (name == "__libc_start_main") marks.start_main = true;
  if (name == "gnu_get_libc_version") marks.glibc = true;
  if (name == "_Fork") marks.fork = true;
  if (name == "_int_malloc") marks.int_malloc = true;
  if (name == "__malloc_hook") marks.malloc_hook = true;
}

/// Walks one symbol table and collects from it.
class SymbolReader {
 public:
  SymbolReader(ElfImage& image, std::span<const std::string> wanted)
      : image_(image), wanted_(wanted.begin(), wanted.end()) {}

  void read(Elf* elf, Elf_Scn* section, const GElf_Shdr& header) {
    Elf_Data* data = elf_getdata(section, nullptr);
    if (!data || header.sh_entsize == 0) return;
    std::size_t count = header.sh_size / header.sh_entsize;
    for (std::size_t i = 0; i < count; ++i) {
      GElf_Sym symbol;
      if (!gelf_getsym(data, static_cast<int>(i), &symbol)) return;
      const char* name = elf_strptr(elf, header.sh_link, symbol.st_name);
      if (name) take(name, symbol);
    }
  }

 private:
  void take(std::string_view name, const GElf_Sym& symbol) {
    if (symbol.st_shndx == SHN_UNDEF) {
      if (name == "malloc") image_.imports_malloc = true;
      if (auto found = wanted_.find(std::string(name)); found != wanted_.end()) {
        image_.imports.push_back(*found);
      }
      return;
    }
    if (name.starts_with('_') || name.starts_with('g')) take_mark(name, image_.marks);
    if (name == "_r_debug" && GELF_ST_TYPE(symbol.st_info) == STT_OBJECT) {
      image_.loader_state = symbol.st_value;
    }
    if (GELF_ST_TYPE(symbol.st_info) != STT_FUNC) return;
    note_allocator(name, symbol);
    auto found = wanted_.find(std::string(name));
    if (found == wanted_.end()) return;
    auto offset = file_offset_of(image_.segments, symbol.st_value);
    if (offset && seen_.emplace(*found, *offset).second) {
      image_.functions.push_back({*found, *offset, symbol.st_size});
    }
  }

  void note_allocator(std::string_view name, const GElf_Sym& symbol) {
    if (name != catalog::kLibcMalloc && catalog::allocator_family(name) == nullptr) return;
    const bool known = std::ranges::find(image_.allocators, name, &FunctionSymbol::name) !=
                       image_.allocators.end();
    auto offset = file_offset_of(image_.segments, symbol.st_value);
    if (offset && !known) {
      image_.allocators.push_back({std::string(name), *offset, symbol.st_size});
    }
  }

  ElfImage& image_;
  std::unordered_set<std::string> wanted_;
  std::set<std::pair<std::string, std::uint64_t>> seen_;
};

/// Cuts functions where another symbol begins in them: code that is entered there, too.
class FunctionCutter {
 public:
  explicit FunctionCutter(ElfImage& image) : image_(image) {
    for (FunctionSymbol& function : image.functions) {
      by_offset_.emplace(function.file_offset, &function);
    }
  }

  void read(Elf_Scn* section, const GElf_Shdr& header) {
    Elf_Data* data = elf_getdata(section, nullptr);
    if (!data || header.sh_entsize == 0) return;
    std::size_t count = header.sh_size / header.sh_entsize;
    for (std::size_t i = 0; i < count; ++i) {
      GElf_Sym symbol;
      if (!gelf_getsym(data, static_cast<int>(i), &symbol)) return;
      if (symbol.st_shndx != SHN_UNDEF && is_code(GELF_ST_TYPE(symbol.st_info))) {
        cut_at(symbol.st_value);
      }
    }
  }

 private:
  static bool is_code(unsigned type) {
    return type == STT_FUNC || type == STT_NOTYPE || type == STT_GNU_IFUNC;
  }

  void cut_at(std::uint64_t address) {
    auto offset = file_offset_of(image_.segments, address);
    if (!offset) return;
    auto after = by_offset_.lower_bound(*offset);
    if (after == by_offset_.begin()) return;
    // All names of the function that begins last before it.
    const std::uint64_t start = std::prev(after)->first;
    const auto [first, last] = by_offset_.equal_range(start);
    for (auto it = first; it != last; ++it) {
      std::uint64_t& size = it->second->size;
      if (size == 0 || *offset - start < size) size = *offset - start;
    }
  }

  ElfImage& image_;
  std::multimap<std::uint64_t, FunctionSymbol*> by_offset_;
};

/// libelf would take memory for whatever a table and its strings claim to be.
bool is_bounded(Elf* elf, const GElf_Shdr& header) {
  GElf_Shdr strings;
  Elf_Scn* section = elf_getscn(elf, header.sh_link);
  return header.sh_size <= kMaxSymbolBytes && section != nullptr &&
         gelf_getshdr(section, &strings) != nullptr && strings.sh_size <= kMaxSymbolBytes;
}

template <typename Reader>
void each_symbol_table(Elf* elf, Reader read) {
  for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf, section)) != nullptr;) {
    GElf_Shdr header;
    if (!gelf_getshdr(section, &header)) continue;
    const bool symbols = header.sh_type == SHT_DYNSYM || header.sh_type == SHT_SYMTAB;
    if (symbols && is_bounded(elf, header)) read(section, header);
  }
}

void read_symbols(Elf* elf, ElfImage& image, std::span<const std::string> wanted) {
  SymbolReader reader(image, wanted);
  each_symbol_table(
      elf, [&](Elf_Scn* section, const GElf_Shdr& header) { reader.read(elf, section, header); });
  if (image.functions.empty()) return;
  FunctionCutter cutter(image);
  each_symbol_table(
      elf, [&](Elf_Scn* section, const GElf_Shdr& header) { cutter.read(section, header); });
}

}  // namespace

Result<ElfImage> ElfImage::read(int fd, std::span<const std::string> wanted) {
  elf_version(EV_CURRENT);
  // Not mapped: a file that shrinks while it is read must give an error, not SIGBUS.
  ElfHandle elf(elf_begin(fd, ELF_C_READ, nullptr));
  GElf_Ehdr header;
  if (!elf || elf_kind(elf.get()) != ELF_K_ELF || !gelf_getehdr(elf.get(), &header)) {
    return fail("not an ELF file");
  }
  if (header.e_ident[EI_CLASS] != ELFCLASS64) return fail("not a 64-bit ELF file");
  ElfImage image;
  image.machine = header.e_machine;
  image.build_id = read_build_id(elf.get());
  image.segments = read_segments(elf.get());
  image.entry_offset = file_offset_of(image.segments, header.e_entry).value_or(0);
  read_symbols(elf.get(), image, wanted);
  read_section_marks(elf.get(), image.marks);
  return image;
}

std::optional<std::uint64_t> ElfImage::address_of(std::uint64_t file_offset) const {
  for (const Segment& segment : segments) {
    if (file_offset >= segment.file_offset &&
        file_offset - segment.file_offset < segment.file_size) {
      return file_offset - segment.file_offset + segment.address;
    }
  }
  return std::nullopt;
}

const FunctionSymbol* find_function(const ElfImage& image, std::string_view name) {
  const auto found = std::ranges::find(image.functions, name, &FunctionSymbol::name);
  return found == image.functions.end() ? nullptr : &*found;
}

}  // namespace leaktrace::tracer
