// SPDX-License-Identifier: Apache-2.0
#include "user/symbolize/split_package.h"

#include <bit>
#include <cstring>
#include <string>
#include <unordered_map>
#include <utility>

#include "user/symbolize/elf_builder.h"

namespace leaktrace::symbolize {
namespace {

constexpr std::size_t kHeaderSize = 16;
constexpr std::size_t kMostStrings = std::size_t{256} << 20;

template <typename T>
T read_at(std::string_view bytes, std::size_t at) {
  T value{};
  if (at <= bytes.size() && sizeof(T) <= bytes.size() - at) {
    std::memcpy(&value, bytes.data() + at, sizeof(T));
  }
  return value;
}

/// The section of a column's number that is of use here, or nothing.
std::string_view section_name(std::uint16_t version, std::uint32_t number) {
  switch (number) {
    case 1:
      return ".debug_info.dwo";
    case 3:
      return ".debug_abbrev.dwo";
    case 4:
      return ".debug_line.dwo";
    case 6:
      return ".debug_str_offsets.dwo";
    case 8:  // GNU: DW_SECT_MACRO
      return version == 5 ? ".debug_rnglists.dwo" : std::string_view();
    default:
      return {};
  }
}

/// A unit's own table of strings, cut from the one that all units of the package share, and its
/// offsets into it.
struct Strings {
  std::string offsets;
  std::string text;

  Strings(std::string_view shared_offsets, std::string_view shared_text, std::uint16_t version)
      : offsets(shared_offsets), text(1, '\0') {
    const std::size_t header = version == 5 ? 8 : 0;
    std::unordered_map<std::uint32_t, std::uint32_t> moved;
    for (std::size_t at = header; at + 4 <= offsets.size(); at += 4) {
      const auto from = read_at<std::uint32_t>(shared_offsets, at);
      auto [entry, added] = moved.try_emplace(from, 0);
      if (added && from < shared_text.size()) entry->second = append(shared_text.substr(from));
      std::memcpy(offsets.data() + at, &entry->second, sizeof(entry->second));
    }
  }

 private:
  // 0, the empty string, when there is no more room.
  std::uint32_t append(std::string_view rest) {
    const std::size_t end = rest.find('\0');
    if (end == std::string_view::npos || text.size() + end >= kMostStrings) return 0;
    const auto at = static_cast<std::uint32_t>(text.size());
    text.append(rest.substr(0, end + 1));
    return at;
  }
};

}  // namespace

SplitPackage::SplitPackage(std::unique_ptr<ElfFile> file, std::string_view index)
    : file_(std::move(file)), index_(index) {}

std::unique_ptr<SplitPackage> SplitPackage::open(std::unique_ptr<ElfFile> file) {
  if (!file->is_native()) return nullptr;
  const auto index = file->unpacked_section(".debug_cu_index");
  if (!index) return nullptr;
  std::unique_ptr<SplitPackage> package(new SplitPackage(std::move(file), *index));
  return package->read_header() ? std::move(package) : nullptr;
}

bool SplitPackage::read_header() {
  // GNU's version has four bytes, DWARF 5's two and padding.
  version_ = read_at<std::uint16_t>(index_, std::endian::native == std::endian::little ? 0 : 2);
  if (read_at<std::uint16_t>(index_, 0) == 5) version_ = 5;
  columns_ = read_at<std::uint32_t>(index_, 4);
  units_ = read_at<std::uint32_t>(index_, 8);
  slots_ = read_at<std::uint32_t>(index_, 12);
  if ((version_ != 2 && version_ != 5) || columns_ == 0 || columns_ > 16) return false;
  if (!std::has_single_bit(slots_) || slots_ > index_.size() || units_ > slots_) return false;
  rows_at_ = kHeaderSize + std::size_t{slots_} * 8;
  sections_at_ = rows_at_ + std::size_t{slots_} * 4;
  offsets_at_ = sections_at_ + std::size_t{columns_} * 4;
  sizes_at_ = offsets_at_ + std::size_t{units_} * columns_ * 4;
  return sizes_at_ + std::size_t{units_} * columns_ * 4 <= index_.size();
}

std::optional<std::uint32_t> SplitPackage::find_row(std::uint64_t dwo_id) const {
  const std::uint64_t mask = slots_ - 1;
  const std::uint64_t step = ((dwo_id >> 32) & mask) | 1;
  std::uint64_t slot = dwo_id & mask;
  for (std::uint32_t tried = 0; tried < slots_; ++tried, slot = (slot + step) & mask) {
    const auto row = read_at<std::uint32_t>(index_, rows_at_ + slot * 4);  // from 1; 0: unused
    if (row == 0) return std::nullopt;
    if (read_at<std::uint64_t>(index_, kHeaderSize + slot * 8) != dwo_id) continue;
    return row <= units_ ? std::optional(row - 1) : std::nullopt;
  }
  return std::nullopt;
}

std::optional<std::string_view> SplitPackage::part(std::uint32_t row, std::uint32_t column,
                                                   std::string_view section) const {
  const auto bytes = file_->unpacked_section(section);
  const std::size_t cell = (std::size_t{row} * columns_ + column) * 4;
  const auto offset = read_at<std::uint32_t>(index_, offsets_at_ + cell);
  const auto size = read_at<std::uint32_t>(index_, sizes_at_ + cell);
  if (!bytes || offset > bytes->size() || size > bytes->size() - offset) return std::nullopt;
  return bytes->substr(offset, size);
}

std::optional<std::vector<char>> SplitPackage::carve(std::uint64_t dwo_id) const {
  const auto row = find_row(dwo_id);
  if (!row) return std::nullopt;
  std::vector<NewSection> sections;
  std::optional<Strings> strings;
  for (std::uint32_t column = 0; column < columns_; ++column) {
    const auto number = read_at<std::uint32_t>(index_, sections_at_ + std::size_t{column} * 4);
    const std::string_view name = section_name(version_, number);
    if (name.empty()) continue;
    const auto bytes = part(*row, column, name);
    if (!bytes) return std::nullopt;
    if (bytes->empty()) continue;
    if (number == 6) {
      strings.emplace(*bytes, file_->unpacked_section(".debug_str.dwo").value_or(""), version_);
    } else {
      sections.push_back({name, *bytes});
    }
  }
  if (strings) {
    sections.push_back({".debug_str_offsets.dwo", strings->offsets});
    sections.push_back({".debug_str.dwo", strings->text});
  }
  return build_elf(sections);
}

}  // namespace leaktrace::symbolize
