// SPDX-License-Identifier: Apache-2.0
#include "user/unwind/fde.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <gelf.h>

#include <cstring>
#include <map>
#include <optional>
#include <string_view>

namespace leaktrace::unwind {
namespace {

/// The largest library known has 20 MB; libelf would take memory for what a header claims.
constexpr uint64_t most_section_bytes = uint64_t{512} << 20;

struct Section {
  Elf_Data* data = nullptr;  ///< null: it lies outside of the file, or is too large
  uint64_t address = 0;
};

std::optional<Section> find_section(Elf* elf, std::string_view wanted) {
  size_t names = 0;
  if (elf_getshdrstrndx(elf, &names) != 0) return std::nullopt;
  for (Elf_Scn* scn = elf_nextscn(elf, nullptr); scn != nullptr; scn = elf_nextscn(elf, scn)) {
    GElf_Shdr header;
    if (gelf_getshdr(scn, &header) == nullptr || header.sh_type == SHT_NOBITS) continue;
    const char* name = elf_strptr(elf, names, header.sh_name);
    if (name == nullptr || wanted != name) continue;
    if (header.sh_size == 0) return std::nullopt;
    if (header.sh_size > most_section_bytes) return Section{nullptr, header.sh_addr};
    Elf_Data* data = elf_rawdata(scn, nullptr);
    if (data != nullptr && data->d_buf == nullptr) data = nullptr;
    return Section{data, header.sh_addr};
  }
  return std::nullopt;
}

/// Reads the numbers of a section and stops, for good, at its end.
class Cursor {
 public:
  Cursor(const Section& section, const uint8_t* at)
      : section_(section),
        at_(at),
        end_(static_cast<const uint8_t*>(section.data->d_buf) + section.data->d_size) {}

  template <typename T>
  std::optional<uint64_t> fixed() {
    if (at_ > end_ || static_cast<size_t>(end_ - at_) < sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(&value, at_, sizeof value);
    at_ += sizeof value;
    return static_cast<uint64_t>(static_cast<int64_t>(value));
  }

  std::optional<uint64_t> leb128(bool is_signed) {
    uint64_t value = 0;
    for (unsigned shift = 0; at_ < end_ && shift < 64; shift += 7) {
      const uint8_t byte = *at_++;
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) != 0) continue;
      if (is_signed && (byte & 0x40) != 0 && shift + 7 < 64) value |= ~uint64_t{0} << (shift + 7);
      return value;
    }
    return std::nullopt;
  }

  /// A number in the format half of a DW_EH_PE encoding.
  std::optional<uint64_t> number(uint8_t encoding) {
    switch (encoding & 0x0f) {
      case DW_EH_PE_absptr:
      case DW_EH_PE_udata8:
      case DW_EH_PE_sdata8:
        return fixed<int64_t>();
      case DW_EH_PE_udata4:
        return fixed<uint32_t>();
      case DW_EH_PE_sdata4:
        return fixed<int32_t>();
      case DW_EH_PE_udata2:
        return fixed<uint16_t>();
      case DW_EH_PE_sdata2:
        return fixed<int16_t>();
      case DW_EH_PE_uleb128:
        return leb128(false);
      case DW_EH_PE_sleb128:
        return leb128(true);
      default:
        return std::nullopt;
    }
  }

  /// An address: absolute, or relative to where it stands.
  std::optional<uint64_t> pointer(uint8_t encoding) {
    const auto offset =
        static_cast<uint64_t>(at_ - static_cast<const uint8_t*>(section_.data->d_buf));
    const auto value = number(encoding);
    if (!value) return std::nullopt;
    switch (encoding & 0xf0) {
      case DW_EH_PE_absptr:
        return value;
      case DW_EH_PE_pcrel:
        return *value + section_.address + offset;
      default:
        return std::nullopt;
    }
  }

 private:
  Section section_;
  const uint8_t* at_;
  const uint8_t* end_;
};

/// How the entries of a CIE write their first address ('R' of the augmentation).
std::optional<uint8_t> pointer_encoding(const Section& section, const Dwarf_CIE& cie) {
  const std::string_view augmentation = cie.augmentation;
  if (!augmentation.starts_with('z') || cie.augmentation_data == nullptr) return DW_EH_PE_absptr;
  Cursor cursor(section, cie.augmentation_data);
  for (const char letter : augmentation.substr(1)) {
    if (letter == 'S' || letter == 'B' || letter == 'G') continue;
    const auto encoding = cursor.fixed<uint8_t>();
    if (!encoding) return std::nullopt;
    if (letter == 'R') return static_cast<uint8_t>(*encoding);
    if (letter == 'P' && !cursor.number(static_cast<uint8_t>(*encoding))) return std::nullopt;
    if (letter != 'P' && letter != 'L') return std::nullopt;
  }
  return DW_EH_PE_absptr;
}

std::optional<CodeRange> read_range(const Section& section, const uint8_t* at, uint8_t encoding) {
  Cursor cursor(section, at);
  const auto start = cursor.pointer(encoding);
  const auto length = start ? cursor.number(encoding) : std::nullopt;
  if (!length || *start + *length < *start) return std::nullopt;
  return CodeRange{*start, *start + *length};
}

/// The pointer encodings of a section's CIEs, each decoded once.
class Encodings {
 public:
  Encodings(const Section& section, const unsigned char* ident, bool eh)
      : section_(section), ident_(ident), eh_(eh) {}

  std::optional<uint8_t> of(Dwarf_Off cie_offset) {
    const auto [known, is_new] = known_.try_emplace(cie_offset);
    if (!is_new) return known->second;
    Dwarf_CFI_Entry entry;
    Dwarf_Off next = 0;
    if (dwarf_next_cfi(ident_, section_.data, eh_, cie_offset, &next, &entry) == 0 &&
        dwarf_cfi_cie_p(&entry)) {
      known->second = pointer_encoding(section_, entry.cie);
    }
    return known->second;
  }

 private:
  Section section_;
  const unsigned char* ident_;
  bool eh_;
  std::map<Dwarf_Off, std::optional<uint8_t>> known_;
};

}  // namespace

DescribedCode list_described_code(Elf* elf, FrameSection which) {
  DescribedCode code;
  const bool eh = which == FrameSection::eh_frame;
  const auto section = find_section(elf, eh ? ".eh_frame" : ".debug_frame");
  const auto* ident = reinterpret_cast<const unsigned char*>(elf_getident(elf, nullptr));
  if (!section || ident == nullptr) return code;
  if (section->data == nullptr) {
    code.malformed = 1;
    return code;
  }
  Encodings encodings(*section, ident, eh);
  Dwarf_CFI_Entry entry;
  Dwarf_Off next = 0;
  for (Dwarf_Off offset = 0;; offset = next) {
    const int status = dwarf_next_cfi(ident, section->data, eh, offset, &next, &entry);
    if (status > 0) break;
    const bool readable = status == 0;
    if (!readable) ++code.malformed;
    if (next == static_cast<Dwarf_Off>(-1) || next <= offset) break;
    if (!readable || dwarf_cfi_cie_p(&entry)) continue;
    const auto encoding = encodings.of(entry.fde.CIE_pointer);
    const auto range = encoding ? read_range(*section, entry.fde.start, *encoding) : std::nullopt;
    if (!range) {
      ++code.malformed;
    } else if (range->start != 0 && range->start != range->end) {
      // Linkers leave entries of discarded code behind, at address 0 or without a length.
      code.ranges.push_back(*range);
    }
  }
  return code;
}

}  // namespace leaktrace::unwind
