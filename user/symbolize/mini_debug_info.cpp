// SPDX-License-Identifier: Apache-2.0
#include "user/symbolize/mini_debug_info.h"

#include <lzma.h>

#include <algorithm>

namespace leaktrace::symbolize {
namespace {

constexpr std::size_t kDecoderBound = std::size_t{256} << 20;
constexpr std::size_t kBound = std::size_t{64} << 20;  // real ones take a few

Result<std::vector<char>> unpack(lzma_stream& stream, std::size_t packed_size) {
  std::vector<char> bytes(std::clamp<std::size_t>(packed_size * 4, 4096, kBound));
  for (;;) {
    stream.next_out = reinterpret_cast<std::uint8_t*>(bytes.data()) + stream.total_out;
    stream.avail_out = bytes.size() - stream.total_out;
    lzma_ret status = ::lzma_code(&stream, LZMA_FINISH);
    if (status == LZMA_STREAM_END) break;
    if (status != LZMA_OK) return fail("damaged xz data");
    if (stream.avail_out != 0) return fail("xz data that was cut short");
    if (bytes.size() == kBound) return fail("xz data that unpacks to more than 64 MiB");
    bytes.resize(std::min(bytes.size() * 2, kBound));
  }
  bytes.resize(stream.total_out);
  return bytes;
}

}  // namespace

Result<std::vector<char>> unpack_xz(std::string_view packed) {
  lzma_stream stream = LZMA_STREAM_INIT;
  if (::lzma_stream_decoder(&stream, kDecoderBound, LZMA_CONCATENATED) != LZMA_OK) {
    return fail("cannot set up the xz decoder");
  }
  stream.next_in = reinterpret_cast<const std::uint8_t*>(packed.data());
  stream.avail_in = packed.size();
  auto bytes = unpack(stream, packed.size());
  ::lzma_end(&stream);
  return bytes;
}

Result<std::unique_ptr<ElfFile>> mini_debug_info(const ElfFile& file) {
  auto packed = file.section(".gnu_debugdata");
  if (!packed) return std::unique_ptr<ElfFile>();
  auto bytes = unpack_xz(*packed);
  if (!bytes) return bytes.unexpected();
  return ElfFile::from_memory(std::move(*bytes));
}

}  // namespace leaktrace::symbolize
