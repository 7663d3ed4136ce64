// SPDX-License-Identifier: Apache-2.0
#include "user/unwind/table.h"

#include <elfutils/libdw.h>
#include <fmt/core.h>
#include <gelf.h>
#include <libelf.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>

#include "user/unwind/fde.h"
#include "user/unwind/rule.h"

namespace leaktrace::unwind {
namespace {

constexpr uint64_t page_size = uint64_t{1} << LT_UNWIND_PAGE_SHIFT;

/// Holes shorter than this are padding between functions.
constexpr uint64_t smallest_gap = 16;

/// An entry point without unwind information (musl, Go) is a few instructions that call on.
constexpr uint64_t entry_size = 64;

/// libdw runs an entry's program from its start for each row. No compiler's output comes near
/// this; a file made to waste time does.
constexpr uint64_t most_rows_in_range = 16384;

/// Bounds of a whole file, for what is made to take time or memory: libLLVM has a million rows,
/// which take less than a second. What is beyond is left out and counted.
constexpr uint64_t most_rows = 16U << 20;
constexpr std::chrono::seconds most_time{20};
using Clock = std::chrono::steady_clock;

/// Of the sections that are only for debuggers, together.
constexpr uint64_t most_debug_bytes = uint64_t{2} << 30;

/// 4 GiB of code: x86-64 and arm64 cannot branch further within one file.
constexpr uint64_t most_pages = 65536;

struct ElfEnd {
  void operator()(Elf* elf) const { elf_end(elf); }
};
using ElfHandle = std::unique_ptr<Elf, ElfEnd>;

struct CfiEnd {
  void operator()(Dwarf_CFI* cfi) const { dwarf_cfi_end(cfi); }
};
struct DwarfEnd {
  void operator()(Dwarf* dwarf) const { dwarf_end(dwarf); }
};
struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

/// Code and who describes it; without cfi it is the program's entry point, where stacks end.
struct Described {
  CodeRange range;
  Dwarf_CFI* cfi = nullptr;
};

/// Appends rows in the order of addresses, merging equal neighbours.
class RowWriter {
 public:
  /// `row` without its address bits holds for [start, end); start is not below the last end.
  void add(uint64_t start, uint64_t end, uint64_t row) {
    if (!rows_.empty() && start > end_) {
      // No call ends in padding. A return address after it, at a function's first byte, was put
      // there by hand, to begin a stack (makecontext).
      const bool padding = start - end_ < smallest_gap;
      append(end_, bare_row(padding ? LT_UNWIND_CFA_END : LT_UNWIND_CFA_NONE));
    }
    append(start, row);
    end_ = end;
  }
  /// What follows the last range is not described.
  void close() {
    if (!rows_.empty()) append(end_, bare_row(LT_UNWIND_CFA_NONE));
  }
  [[nodiscard]] uint64_t end() const { return end_; }

  struct AddressedRow {
    uint64_t address;
    uint64_t row;
  };
  [[nodiscard]] const std::vector<AddressedRow>& rows() const { return rows_; }

 private:
  void append(uint64_t address, uint64_t row) {
    if (rows_.empty() || rows_.back().row != row) rows_.push_back({address, row});
  }

  std::vector<AddressedRow> rows_;
  uint64_t end_ = 0;
};

class TableReader {
 public:
  explicit TableReader(Elf* elf) : elf_(elf) {}

  Result<Table> read() {
    if (auto checked = check_header(); !checked) return checked.unexpected();
    read_segments();
    const DescribedCode eh_code = list_described_code(elf_, FrameSection::eh_frame);
    std::unique_ptr<Dwarf_CFI, CfiEnd> eh_frame(eh_code.ranges.empty() ? nullptr
                                                                       : dwarf_getcfi_elf(elf_));
    describe(eh_code, eh_frame.get());
    // dwarf_begin_elf() reads all debug sections: only for what may be in them.
    const DescribedCode debug_code = list_described_code(elf_, FrameSection::debug_frame);
    const bool wanted = !debug_code.ranges.empty() && has_bounded_sections();
    std::unique_ptr<Dwarf, DwarfEnd> dwarf(wanted ? dwarf_begin_elf(elf_, DWARF_C_READ, nullptr)
                                                  : nullptr);
    describe(debug_code, dwarf ? dwarf_getcfi(dwarf.get()) : nullptr);
    add_entry_point();
    sort_described();
    write_rows();
    if (packer_.needs_extra()) write_rows_again();
    if (auto paged = write_pages(); !paged) return paged.unexpected();
    table_.rules = packer_.take_rules();
    return std::move(table_);
  }

 private:
  Result<void> check_header() {
    GElf_Ehdr header;
    if (elf_kind(elf_) != ELF_K_ELF || gelf_getehdr(elf_, &header) == nullptr) {
      return fail("not an ELF file");
    }
    const auto machine = machine_of(header.e_machine);
    if (gelf_getclass(elf_) != ELFCLASS64 || !machine) {
      return fail("not a 64-bit program of x86-64 or arm64",
                  "its stacks are followed by frame pointers only");
    }
    machine_ = *machine;
    entry_ = header.e_entry;
    return {};
  }

  /// What libdw would read into memory, unpacked, is no more than large programs have.
  [[nodiscard]] bool has_bounded_sections() const {
    uint64_t bytes = 0;
    for (Elf_Scn* scn = elf_nextscn(elf_, nullptr); scn != nullptr; scn = elf_nextscn(elf_, scn)) {
      GElf_Shdr header;
      if (gelf_getshdr(scn, &header) == nullptr || header.sh_type == SHT_NOBITS) continue;
      if ((header.sh_flags & SHF_ALLOC) != 0) continue;
      GElf_Chdr packed;
      const bool is_packed =
          (header.sh_flags & SHF_COMPRESSED) != 0 && gelf_getchdr(scn, &packed) != nullptr;
      const uint64_t size = is_packed ? packed.ch_size : header.sh_size;
      if (size > most_debug_bytes - bytes) return false;
      bytes += size;
    }
    return true;
  }

  void read_segments() {
    size_t count = 0;
    if (elf_getphdrnum(elf_, &count) != 0) return;
    for (size_t i = 0; i < count; ++i) {
      GElf_Phdr header;
      if (gelf_getphdr(elf_, static_cast<int>(i), &header) == nullptr) continue;
      if (header.p_type != PT_LOAD || (header.p_flags & PF_X) == 0) continue;
      table_.segments.push_back({header.p_offset, header.p_filesz, header.p_vaddr});
    }
  }

  void describe(const DescribedCode& code, Dwarf_CFI* cfi) {
    table_.skipped_ranges += code.malformed;
    if (cfi == nullptr) {  // libdw cannot make sense of the section
      table_.skipped_ranges += code.ranges.size();
      return;
    }
    for (const CodeRange& range : code.ranges) {
      if (is_executable(range.start)) described_.push_back({range, cfi});
    }
  }

  [[nodiscard]] bool is_executable(uint64_t address) const {
    return std::any_of(table_.segments.begin(), table_.segments.end(), [&](const Segment& s) {
      return address >= s.address && address - s.address < s.file_size;
    });
  }

  /// The entry point has no caller. Where nothing describes it, say so. (A stable sort puts real
  /// descriptions first: they cut this one down to what they leave over.)
  void add_entry_point() {
    if (is_executable(entry_)) described_.push_back({{entry_, entry_ + entry_size}, nullptr});
  }

  void sort_described() {
    std::stable_sort(
        described_.begin(), described_.end(),
        [](const Described& a, const Described& b) { return a.range.start < b.range.start; });
  }

  /// A frame of the file needs the extra register, so the frames that it calls must say where that
  /// is. Only dynamic linkers are such files, and they are small.
  void write_rows_again() {
    writer_ = {};
    packer_ = RulePacker(true);
    table_.described_ranges = 0;
    table_.skipped_ranges = 0;
    write_rows();
  }

  void write_rows() {
    for (size_t i = 0; i < described_.size(); ++i) {
      auto [range, cfi] = described_[i];
      range.start = std::max(range.start, writer_.end());
      if (cfi == nullptr && i + 1 < described_.size()) {
        range.end = std::min(range.end, described_[i + 1].range.start);
      }
      if (range.start >= range.end) continue;
      if (cfi == nullptr) {
        writer_.add(range.start, range.end, bare_row(LT_UNWIND_CFA_END));
      } else {
        write_range(range, cfi);
      }
    }
    writer_.close();
  }

  [[nodiscard]] bool is_over_budget() const {
    return writer_.rows().size() >= most_rows || Clock::now() > deadline_;
  }

  void write_range(const CodeRange& range, Dwarf_CFI* cfi) {
    ++table_.described_ranges;
    uint64_t pc = range.start;
    for (uint64_t n = 0; pc < range.end && n < most_rows_in_range; ++n) {
      if (n % 64 == 0 && is_over_budget()) break;
      Dwarf_Frame* raw = nullptr;
      if (dwarf_cfi_addrframe(cfi, pc, &raw) != 0) break;
      const std::unique_ptr<Dwarf_Frame, Free> frame(raw);
      Dwarf_Addr start = 0;
      Dwarf_Addr end = 0;
      if (dwarf_frame_info(raw, &start, &end, nullptr) < 0 || end <= pc) break;
      end = std::min<Dwarf_Addr>(end, range.end);
      writer_.add(pc, end, packer_.pack(decode_rule(raw, machine_)));
      pc = end;
    }
    if (pc < range.end) ++table_.skipped_ranges;
  }

  Result<void> write_pages() {
    const auto& rows = writer_.rows();
    if (rows.empty()) return {};
    const uint64_t first = rows.front().address >> LT_UNWIND_PAGE_SHIFT;
    const uint64_t last = rows.back().address >> LT_UNWIND_PAGE_SHIFT;
    if (last - first >= most_pages) return fail("its code spans more than 4 GiB");

    table_.base = first << LT_UNWIND_PAGE_SHIFT;
    uint64_t carried = bare_row(LT_UNWIND_CFA_NONE);
    auto row = rows.begin();
    for (uint64_t page = first; page <= last; ++page) {
      const auto begin = static_cast<uint32_t>(table_.rows.size());
      if (row == rows.end() || row->address != page << LT_UNWIND_PAGE_SHIFT) {
        table_.rows.push_back(carried);
      }
      for (; row != rows.end() && row->address >> LT_UNWIND_PAGE_SHIFT == page; ++row) {
        table_.rows.push_back(row->row | (row->address % page_size) << 48);
        carried = row->row;
      }
      table_.pages.push_back({begin, static_cast<uint32_t>(table_.rows.size()) - begin});
    }
    return {};
  }

  Elf* elf_;
  Machine machine_{};
  uint64_t entry_ = 0;
  Clock::time_point deadline_ = Clock::now() + most_time;
  std::vector<Described> described_;
  RulePacker packer_;
  RowWriter writer_;
  Table table_;
};

Result<Table> read_elf(ElfHandle elf) {
  if (!elf) return fail(fmt::format("cannot read it as an ELF file: {}", elf_errmsg(-1)));
  return TableReader(elf.get()).read();
}

}  // namespace

std::optional<uint64_t> Table::find(uint64_t address) const {
  if (address < base) return std::nullopt;
  const uint64_t page = (address - base) >> LT_UNWIND_PAGE_SHIFT;
  if (page >= pages.size()) return std::nullopt;
  const auto begin = rows.begin() + pages[page].first;
  const auto low = static_cast<uint32_t>(address % page_size);
  const auto after = std::upper_bound(
      begin, begin + pages[page].count, low,
      [](uint32_t wanted, uint64_t row) { return wanted < LT_UNWIND_ROW_ADDRESS(row); });
  return *(after - 1);
}

std::optional<uint64_t> Segment::address_of(uint64_t mapping_offset) const {
  // The loader maps whole memory pages, so a mapping begins where the segment's page does.
  static const auto memory_page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const uint64_t begin = file_offset / memory_page * memory_page;
  if (mapping_offset < begin || mapping_offset >= file_offset + file_size) return std::nullopt;
  return address + (mapping_offset - file_offset);
}

Result<Table> read_table(int fd) {
  elf_version(EV_CURRENT);
  // Not mapped: a file that shrinks while it is read must give an error, not SIGBUS.
  return read_elf(ElfHandle(elf_begin(fd, ELF_C_READ, nullptr)));
}

Result<Table> read_table(std::span<const std::byte> image) {
  elf_version(EV_CURRENT);
  std::vector<char> copy(image.size());
  std::transform(image.begin(), image.end(), copy.begin(),
                 [](std::byte byte) { return static_cast<char>(byte); });
  return read_elf(ElfHandle(elf_memory(copy.data(), copy.size())));
}

}  // namespace leaktrace::unwind
