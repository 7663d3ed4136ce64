// SPDX-License-Identifier: Apache-2.0
//
// How a recording is laid out in its file; all numbers are little-endian:
//
//   "LEAKTRACE"  u32 format version
//   frame*       u32 length, u32 crc32 of the payload (zlib's), payload: pb::Frame
//
// A frame is either whole or not there: a recording that was cut off (a crash, a full disk) is read
// up to its last whole frame. The format version rises only when an older reader would misread a
// file; a new record type or field does not raise it, older readers skip and count those.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace leaktrace::collect {

inline constexpr std::string_view kRecordingMagic = "LEAKTRACE";
inline constexpr std::uint32_t kRecordingVersion = 1;
inline constexpr std::size_t kRecordingHeaderSize = kRecordingMagic.size() + 4;
inline constexpr std::size_t kFrameHeaderSize = 8;

/// Longest payload of a frame, in bytes. A reader allocates no more than this for a frame, and
/// what it decodes to is at most about twenty times as large.
inline constexpr std::uint32_t kMaxFramePayload = 16U << 20;
/// Longer lists of blocks are split over several frames of this many.
inline constexpr std::size_t kBlocksPerFrame = 65'536;
/// Blocks that one walk (records of the same time) may have.
inline constexpr std::size_t kMaxBlocksPerWalk = std::size_t{4} << 20;

inline void put_u32(char* out, std::uint32_t value) {
  for (int i = 0; i < 4; ++i) out[i] = static_cast<char>(value >> (8 * i));
}

[[nodiscard]] inline std::uint32_t get_u32(const char* in) {
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) {
    value |= std::uint32_t{static_cast<unsigned char>(in[i])} << (8 * i);
  }
  return value;
}

}  // namespace leaktrace::collect
