// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "user/base/result.h"
#include "user/base/unique_fd.h"

namespace leaktrace::collect {

/// The bytes of a recording, and their division into frames.
class RecordingInput {
 public:
  RecordingInput(UniqueFd fd, std::string name) : name_(std::move(name)), fd_(std::move(fd)) {}
  /// `bytes` belong to the caller.
  RecordingInput(std::string_view bytes, std::string name)
      : name_(std::move(name)), pending_(bytes) {}

  /// Reads the file's header; an error says why this is no recording that can be read.
  [[nodiscard]] Result<void> read_header();

  /// Reads the next frame's payload, valid until the next call. False: there is none, for the
  /// reason(). An end in good order between two frames leaves the reason empty.
  [[nodiscard]] bool next_frame(std::string_view& payload);

  /// There is at least one more byte.
  [[nodiscard]] bool has_more();

  [[nodiscard]] const std::string& reason() const { return reason_; }
  /// Where the frame that was read last begins and ends in the file.
  [[nodiscard]] std::uint64_t frame_start() const { return frame_start_; }
  [[nodiscard]] std::uint64_t position() const { return position_; }

 private:
  [[nodiscard]] std::size_t read(char* out, std::size_t wanted);
  void refill();
  [[nodiscard]] bool cut(std::size_t got);

  std::string name_;
  UniqueFd fd_;
  std::string buffer_;
  std::string_view pending_;  ///< read and not yet used
  std::string payload_;
  std::string reason_;
  int read_error_ = 0;
  std::uint64_t frame_start_ = 0;
  std::uint64_t position_ = 0;
};

}  // namespace leaktrace::collect
