// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "user/base/result.h"
#include "user/base/unique_fd.h"
#include "user/collect/record_sink.h"
#include "user/collect/recording_codec.h"

namespace leaktrace::collect {

/// Writes a stream of records into a file (recording_format.h), straight under its name: whatever
/// ends the writing, the file is a recording up to its last whole record.
///
/// After a failure (a full disk) the writer says so once, cuts a half-written record off the file,
/// and ignores what comes later, so that the trace itself goes on.
class RecordingWriter final : public RecordSink {
 public:
  /// Creates or empties the file, readable by its owner only (it holds addresses of the traced
  /// processes), and writes the header: a path that cannot be written fails here.
  [[nodiscard]] static Result<std::unique_ptr<RecordingWriter>> create(const std::string& path);
  /// Writes what is still buffered; errors are lost, so call close() for them.
  ~RecordingWriter() override;

  /// Appends a record. It is in the file by the next Snapshot or TraceEnd at the latest. Blocks of
  /// any number are split over several records; what goes over kMaxBlocksPerWalk is left out, and
  /// the error says so, but the recording goes on.
  Result<void> accept(const model::Record& record) override;

  /// Brings everything to the disk (fsync) and closes the file. Further calls do nothing. A failure
  /// that accept() has returned is not returned again.
  [[nodiscard]] Result<void> close();

  /// A failure has ended the recording.
  [[nodiscard]] bool failed() const { return failed_; }
  /// Bytes of the file so far, with those that are still buffered.
  [[nodiscard]] std::uint64_t size() const { return flushed_ + buffer_.size(); }

 private:
  RecordingWriter(std::string path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}

  [[nodiscard]] Result<void> accept_blocks(const model::Blocks& walk);
  template <typename Encode>
  [[nodiscard]] Result<void> append_frame(Encode encode);
  [[nodiscard]] Result<void> flush();
  [[nodiscard]] Result<void> give_up(std::size_t written, int error);
  [[nodiscard]] Unexpected end_recording(Error error);

  std::string path_;
  UniqueFd fd_;
  RecordEncoder encoder_;
  std::string buffer_;         ///< whole frames (at first the header) that are not in the file yet
  std::uint64_t flushed_ = 0;  ///< bytes in the file
  std::uint64_t walk_at_ns_ = 0;
  std::size_t walk_blocks_ = 0;
  bool failed_ = false;
};

}  // namespace leaktrace::collect
