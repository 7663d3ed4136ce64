// SPDX-License-Identifier: Apache-2.0
#include "user/collect/recording_input.h"

#include <fmt/core.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "user/base/file.h"
#include "user/collect/recording_format.h"

namespace leaktrace::collect {
namespace {

constexpr std::size_t kReadSize = std::size_t{64} << 10;

std::uint32_t checksum(std::string_view payload) {
  const auto* bytes = reinterpret_cast<const Bytef*>(payload.data());
  return static_cast<std::uint32_t>(::crc32_z(0, bytes, payload.size()));
}

}  // namespace

void RecordingInput::refill() {
  if (!fd_ || read_error_ != 0) return;
  buffer_.resize(kReadSize);
  ssize_t n = 0;
  do {
    n = ::read(fd_.get(), buffer_.data(), buffer_.size());
  } while (n < 0 && errno == EINTR);
  if (n < 0) read_error_ = errno;
  pending_ = std::string_view(buffer_).substr(0, n > 0 ? static_cast<std::size_t>(n) : 0);
}

bool RecordingInput::has_more() {
  if (pending_.empty()) refill();
  return !pending_.empty();
}

/// Fewer than `wanted` only at the end of the file or at a read error.
std::size_t RecordingInput::read(char* out, std::size_t wanted) {
  std::size_t got = 0;
  while (got < wanted && has_more()) {
    const std::size_t n = std::min(wanted - got, pending_.size());
    std::memcpy(out + got, pending_.data(), n);
    pending_.remove_prefix(n);
    got += n;
  }
  return got;
}

Result<void> RecordingInput::read_header() {
  constexpr std::string_view advice = "name a file that `leaktrace record -o FILE` wrote";
  std::array<char, kRecordingHeaderSize> header{};
  const std::size_t got = read(header.data(), header.size());
  if (read_error_ == EISDIR) {
    return fail(name_ + " is a folder, not a recording", std::string(advice));
  }
  if (read_error_ != 0) return fail(describe_errno("cannot read " + name_, read_error_));
  if (got == 0) return fail(name_ + " is empty: it is not a recording", std::string(advice));
  const auto magic = std::string_view(header.data(), std::min(got, kRecordingMagic.size()));
  if (!kRecordingMagic.starts_with(magic)) {
    return fail(name_ + " is not a leaktrace recording", std::string(advice));
  }
  if (got < header.size()) {
    return fail(
        fmt::format("the recording {} was cut off within its first {} bytes", name_, header.size()),
        "there is nothing in it to report: record again");
  }
  const std::uint32_t version = get_u32(header.data() + kRecordingMagic.size());
  if (version == 0) return fail(name_ + " is not a leaktrace recording", std::string(advice));
  if (version > kRecordingVersion) {
    return fail(
        fmt::format("{}: the recording was written by a newer leaktrace (format {}, this one reads "
                    "up to {})",
                    name_, version, kRecordingVersion),
        "read it with the leaktrace that wrote it, or a newer one");
  }
  position_ = header.size();
  return {};
}

/// The input ended `got` bytes into a frame.
bool RecordingInput::cut(std::size_t got) {
  if (read_error_ != 0) {
    reason_ =
        fmt::format("unreadable after byte {}: {}", frame_start_ + got, std::strerror(read_error_));
  } else if (got > 0) {
    reason_ = fmt::format("cut off at byte {}: the record that begins at byte {} is incomplete",
                          frame_start_ + got, frame_start_);
  }
  return false;
}

bool RecordingInput::next_frame(std::string_view& payload) {
  frame_start_ = position_;
  std::array<char, kFrameHeaderSize> header{};
  const std::size_t got = read(header.data(), header.size());
  if (got < header.size()) return cut(got);
  const std::uint32_t length = get_u32(header.data());
  // No record is empty; a file that the kernel had not filled when power failed is full of zeros.
  if (length == 0 || length > kMaxFramePayload) {
    reason_ = fmt::format("damaged at byte {}: a record of {} bytes, where 1 to {} are possible",
                          frame_start_, length, kMaxFramePayload);
    return false;
  }
  payload_.resize(length);
  const std::size_t body = read(payload_.data(), length);
  if (body < length) return cut(header.size() + body);
  if (checksum(payload_) != get_u32(header.data() + 4)) {
    reason_ = fmt::format("damaged at byte {}: the checksum of the record there does not match",
                          frame_start_);
    return false;
  }
  position_ += header.size() + length;
  payload = payload_;
  return true;
}

}  // namespace leaktrace::collect
