// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/jump_scan.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>

#include "user/tracer/file_bytes.h"

namespace leaktrace::tracer {
namespace {

using Bytes = std::span<const std::uint8_t>;

constexpr std::size_t kPiece = std::size_t{1} << 20;
constexpr std::size_t kLongestInstruction = 15;
/// How far a jump with a distance of 8 bits reaches, its own bytes included.
constexpr std::size_t kShortReach = 128 + kLongestInstruction;
/// Decoding from different starting points meets within a few instructions.
constexpr std::size_t kRunUp = 256;
constexpr std::size_t kStartingPoints = 16;

template <typename Value>
Value read_as(const std::uint8_t* at) {
  Value value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

/// The windows by address, and which of them are entered.
class Windows {
 public:
  Windows(const ElfImage& image, std::span<const CodeWindow> windows) : entered_(windows.size()) {
    for (std::size_t i = 0; i < windows.size(); ++i) {
      const auto entry = image.address_of(windows[i].entry);
      const auto probe = image.address_of(windows[i].probe);
      if (!entry || !probe) {
        entered_[i] = true;
        continue;
      }
      ranges_.push_back({*entry, *probe, i});
      low_ = std::min(low_, *entry);
      high_ = std::max(high_, *probe);
    }
    std::ranges::sort(ranges_, {}, &Range::entry);
  }

  struct Range {
    std::uint64_t entry;
    std::uint64_t probe;
    std::size_t index;
  };

  void jump_to(std::uint64_t target) {
    if (target <= low_ || target > high_) return;
    for (const Range& range : ranges_) {
      if (target > range.entry && target <= range.probe) entered_[range.index] = true;
    }
  }

  [[nodiscard]] const std::vector<Range>& ranges() const { return ranges_; }
  void enter(std::size_t index) { entered_[index] = true; }
  [[nodiscard]] const std::vector<bool>& entered() const { return entered_; }

 private:
  std::vector<Range> ranges_;
  std::vector<bool> entered_;
  std::uint64_t low_ = UINT64_MAX;
  std::uint64_t high_ = 0;
};

// Any byte may begin a jump: call, jmp and jcc with a distance of 32 bits.
void scan_x86(Bytes code, std::size_t count, std::uint64_t address, Windows& windows) {
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint8_t byte = code[i];
    std::size_t opcode = 0;
    if ((byte & 0xfe) == 0xe8) {
      opcode = 1;
    } else if (byte == 0x0f && i + 1 < code.size() && (code[i + 1] & 0xf0) == 0x80) {
      opcode = 2;
    } else {
      continue;
    }
    if (i + opcode + 4 > code.size()) continue;
    const auto distance = read_as<std::int32_t>(code.data() + i + opcode);
    windows.jump_to(address + i + opcode + 4 + static_cast<std::uint64_t>(std::int64_t{distance}));
  }
}

std::int64_t sign_extended(std::uint32_t value, unsigned bits) {
  const unsigned shift = 64 - bits;
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(value) << shift) >> shift;
}

// b, bl; b.cond, cbz, cbnz; tbz, tbnz. Distances are in words.
std::optional<std::int64_t> arm_distance(std::uint32_t word) {
  if ((word & 0x7c000000) == 0x14000000) return sign_extended(word, 26) * 4;
  if ((word & 0xff000000) == 0x54000000 || (word & 0x7e000000) == 0x34000000) {
    return sign_extended(word >> 5 & 0x7ffff, 19) * 4;
  }
  if ((word & 0x7e000000) == 0x36000000) return sign_extended(word >> 5 & 0x3fff, 14) * 4;
  return std::nullopt;
}

void scan_arm(Bytes code, std::size_t count, std::uint64_t address, Windows& windows) {
  for (std::size_t i = 0; i + 4 <= code.size() && i < count; i += 4) {
    if (auto distance = arm_distance(read_as<std::uint32_t>(code.data() + i))) {
      windows.jump_to(address + i + static_cast<std::uint64_t>(*distance));
    }
  }
}

// False when the segment cannot be read to its end.
bool scan_segment(int fd, const ElfImage::Segment& segment, Machine machine, Windows& windows) {
  constexpr std::size_t kOverlap = kLongestInstruction + 1;  // a multiple of an arm64 word
  std::vector<std::uint8_t> buffer(kPiece + kOverlap);
  for (std::uint64_t at = 0; at < segment.file_size; at += kPiece) {
    const std::size_t left = std::min<std::uint64_t>(segment.file_size - at, buffer.size());
    const std::size_t got = read_bytes(fd, segment.file_offset + at, std::span(buffer).first(left));
    const Bytes code = Bytes(buffer).first(got);
    const std::size_t count = std::min(got, kPiece);
    if (machine == Machine::arm64) {
      scan_arm(code, count, segment.address + at, windows);
    } else {
      scan_x86(code, count, segment.address + at, windows);
    }
    if (got < left) return false;
  }
  return true;
}

/// The bytes around a window and the instructions that they may be.
class Neighbourhood {
 public:
  Neighbourhood(const Decoder& decoder, Bytes code, std::size_t entry)
      : code_(code), begins_(code.size()) {
    for (std::size_t start = 0; start < kStartingPoints; ++start) decode_from(decoder, start);
    decode_from(decoder, entry);
  }

  /// Where a short jump that begins at `at` leads, from the beginning of the code; nothing when
  /// none begins there. loop and jrcxz are short jumps, too.
  [[nodiscard]] std::optional<std::int64_t> short_jump(std::size_t at) const {
    if (!begins_[at]) return std::nullopt;
    std::size_t opcode = at;
    while (opcode < code_.size() && is_prefix(code_[opcode])) ++opcode;
    if (opcode + 2 > code_.size()) return std::nullopt;
    const std::uint8_t byte = code_[opcode];
    if (byte != 0xeb && (byte & 0xf0) != 0x70 && (byte & 0xfc) != 0xe0) return std::nullopt;
    return static_cast<std::int64_t>(opcode) + 2 + static_cast<std::int8_t>(code_[opcode + 1]);
  }

 private:
  void decode_from(const Decoder& decoder, std::size_t at) {
    while (at < code_.size() && !begins_[at]) {
      begins_[at] = true;
      at += std::max<std::size_t>(decoder.length(code_.subspan(at)), 1);
    }
  }

  static bool is_prefix(std::uint8_t byte) {
    return (byte & 0xf0) == 0x40 || byte == 0x66 || byte == 0x67 || byte == 0xf2 || byte == 0xf3 ||
           byte == 0x2e || byte == 0x3e || byte == 0xf0;
  }

  Bytes code_;
  std::vector<bool> begins_;
};

// False when the code around the window cannot be read.
bool scan_nearby(int fd, const ElfImage::Segment& segment, const Decoder& decoder,
                 const Windows::Range& window, Windows& windows) {
  const std::uint64_t entry = window.entry - segment.address;
  const std::uint64_t first = entry - std::min<std::uint64_t>(entry, kShortReach + kRunUp);
  const std::uint64_t last =
      std::min(segment.file_size, window.probe - segment.address + kShortReach);
  const auto code = read_bytes(fd, segment.file_offset + first, last - first);
  if (code.size() < last - first) return false;
  const Neighbourhood nearby(decoder, code, entry - first);
  for (std::size_t i = 0; i < code.size(); ++i) {
    if (auto target = nearby.short_jump(i)) {
      windows.jump_to(segment.address + first + static_cast<std::uint64_t>(*target));
    }
  }
  return true;
}

}  // namespace

std::vector<bool> find_jumps_into(int fd, const ElfImage& image, const Decoder& decoder,
                                  std::span<const CodeWindow> windows) {
  Windows found(image, windows);
  bool whole = true;
  for (const ElfImage::Segment& segment : image.segments) {
    if (!segment.executable) continue;
    whole &= scan_segment(fd, segment, decoder.machine(), found);
    if (decoder.machine() != Machine::x86_64) continue;
    const std::vector<Windows::Range> ranges = found.ranges();
    for (const Windows::Range& range : ranges) {
      if (range.entry < segment.address || range.entry - segment.address >= segment.file_size) {
        continue;
      }
      if (!scan_nearby(fd, segment, decoder, range, found)) found.enter(range.index);
    }
  }
  if (!whole) return std::vector<bool>(windows.size(), true);
  return found.entered();
}

}  // namespace leaktrace::tracer
