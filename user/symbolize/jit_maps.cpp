// SPDX-License-Identifier: Apache-2.0
#include "user/symbolize/jit_maps.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <vector>

#include "user/base/file.h"

namespace leaktrace::symbolize {
namespace {

constexpr std::size_t kPiece = std::size_t{256} << 10;
static_assert(kPiece > JitNames::kLongestLine);

}  // namespace

Result<JitMaps::Read> JitMaps::read(Number map, int fd, std::uint64_t from, std::uint64_t to) {
  JitNames& names = maps_[map];
  if (from == 0) names.clear();
  std::uint64_t offset = from;
  std::vector<char> piece(static_cast<std::size_t>(std::min<std::uint64_t>(kPiece, to - from)));
  while (offset < to) {
    const auto wanted =
        static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), to - offset));
    const ssize_t n = ::pread(fd, piece.data(), wanted, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(describe_errno("cannot read the perf map", errno));
    const std::size_t used = names.read({piece.data(), static_cast<std::size_t>(n)});
    offset += used;
    if (used == 0) break;  // a line that is still being written
  }
  return Read{.offset = offset,
              .counts = {.malformed = names.malformed(), .left_out = names.left_out()}};
}

Result<std::optional<model::SourceFrame>> JitMaps::look_up(Number map, std::uint64_t address) {
  const auto names = maps_.find(map);
  const std::string* name = names == maps_.end() ? nullptr : names->second.find(address);
  return name == nullptr ? std::nullopt : std::optional(split_jit_name(*name));
}

}  // namespace leaktrace::symbolize
