// SPDX-License-Identifier: Apache-2.0
#include "user/symbolize/python_code.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace leaktrace::symbolize {
namespace {

/// PyASCIIObject: object header, length, hash, state.
constexpr std::size_t kLengthAt = 16;
constexpr std::size_t kStateAt = 32;

/// An instruction and each of its cache entries are one code unit.
constexpr std::int64_t kUnitBytes = 2;

template <typename T>
T read_at(std::span<const std::uint8_t> bytes, std::size_t offset) {
  T value{};
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

void append_utf8(std::string& text, std::uint32_t c) {
  if (c < 0x80) {
    text += static_cast<char>(c);
  } else if (c < 0x800) {
    text += static_cast<char>(0xc0 | c >> 6);
    text += static_cast<char>(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    text += static_cast<char>(0xe0 | c >> 12);
    text += static_cast<char>(0x80 | (c >> 6 & 0x3f));
    text += static_cast<char>(0x80 | (c & 0x3f));
  } else if (c < 0x110000) {
    text += static_cast<char>(0xf0 | c >> 18);
    text += static_cast<char>(0x80 | (c >> 12 & 0x3f));
    text += static_cast<char>(0x80 | (c >> 6 & 0x3f));
    text += static_cast<char>(0x80 | (c & 0x3f));
  }
}

template <typename Character>
std::string decode(std::span<const std::uint8_t> bytes, std::uint64_t length) {
  std::string text;
  const std::size_t count = std::min<std::uint64_t>(length, bytes.size() / sizeof(Character));
  for (std::size_t i = 0; i < count; ++i) {
    append_utf8(text, read_at<Character>(bytes, i * sizeof(Character)));
  }
  return text;
}

/// Steps through a table of locations. Each entry begins with a byte 1CCCCLLL: its form C and the
/// number of code units, L + 1; other bytes have no bit 7.
class LocationReader {
 public:
  explicit LocationReader(std::span<const std::uint8_t> table) : table_(table) {}

  struct Entry {
    std::int64_t units = 0;
    std::int64_t line_delta = 0;
    bool has_line = true;
  };

  std::optional<Entry> next() {
    if (at_ >= table_.size()) return std::nullopt;
    const std::uint8_t head = table_[at_++];
    Entry entry{.units = (head & 7) + 1};
    const int form = head >> 3 & 15;
    if (form >= 10 && form <= 12) entry.line_delta = form - 10;
    if (form == 13 || form == 14) entry.line_delta = signed_number();
    entry.has_line = form != 15;
    while (at_ < table_.size() && (table_[at_] & 0x80) == 0) ++at_;  // columns
    return entry;
  }

 private:
  /// Six bits a byte, the lowest first; bit 6 says that more follow, the lowest bit is the sign.
  std::int64_t signed_number() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; at_ < table_.size() && shift < 60; shift += 6) {
      const std::uint8_t byte = table_[at_++];
      value |= static_cast<std::uint64_t>(byte & 0x3f) << shift;
      if ((byte & 0x40) == 0) break;
    }
    const auto magnitude = static_cast<std::int64_t>(value >> 1);
    return (value & 1) != 0 ? -magnitude : magnitude;
  }

  std::span<const std::uint8_t> table_;
  std::size_t at_ = 0;
};

}  // namespace

std::string python_string(std::span<const std::uint8_t> object, const PythonStrings& strings) {
  if (object.size() < kStateAt + sizeof(std::uint32_t)) return {};
  const auto length = read_at<std::uint64_t>(object, kLengthAt);
  // interned: 2 bits, then kind: 3, compact: 1, ascii: 1.
  const auto state = read_at<std::uint32_t>(object, kStateAt);
  const std::uint32_t kind = state >> 2 & 7;
  const bool compact = (state >> 5 & 1) != 0;
  const bool ascii = (state >> 6 & 1) != 0;
  const std::size_t data = ascii ? strings.ascii_data : strings.other_data;
  if (!compact || data > object.size()) return {};
  switch (kind) {
    case 1:
      return decode<std::uint8_t>(object.subspan(data), length);
    case 2:
      return decode<std::uint16_t>(object.subspan(data), length);
    case 4:
      return decode<std::uint32_t>(object.subspan(data), length);
    default:
      return {};
  }
}

PythonCode::PythonCode(std::string file, std::string function, std::int32_t first_line,
                       std::vector<std::uint8_t> lines)
    : file_(std::move(file)),
      function_(std::move(function)),
      first_line_(first_line),
      lines_(std::move(lines)) {}

model::SourceFrame PythonCode::at(std::int64_t offset) const {
  const std::int64_t line = offset < 0 ? first_line_ : line_of(offset / kUnitBytes);
  return {.function = function_,
          .file = file_,
          .line = line > 0 && line <= INT32_MAX ? static_cast<std::uint32_t>(line) : 0,
          .inlined = false};
}

std::int64_t PythonCode::line_of(std::int64_t unit) const {
  LocationReader reader(lines_);
  std::int64_t line = first_line_;
  std::int64_t end = 0;
  while (const auto entry = reader.next()) {
    line += entry->line_delta;
    end += entry->units;
    if (unit < end) return entry->has_line ? line : 0;
  }
  return 0;
}

}  // namespace leaktrace::symbolize
