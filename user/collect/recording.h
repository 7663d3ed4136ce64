// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "user/base/output_file.h"
#include "user/base/result.h"
#include "user/collect/record_sink.h"
#include "user/collect/recording_codec.h"

namespace leaktrace::collect {

/// Writes a stream of records into a file (recording_format.h). The file takes its name, and the
/// place of an older recording, with the first Snapshot or TraceEnd: a trace that could not begin
/// leaves the older one as it was. From then on, whatever ends the writing, it is a recording up to
/// its last whole record.
///
/// After a failure (a full disk) the writer says so once, cuts a half-written record off the file,
/// and ignores what comes later, so that the trace itself goes on.
class RecordingWriter final : public RecordSink {
 public:
  /// Makes the file (OutputFile says where, and what else `path` may be), readable by its owner
  /// only (it holds addresses of the traced processes), and writes the header: a path that cannot
  /// be written fails here, and one that has a file which is not a recording and not empty.
  [[nodiscard]] static Result<std::unique_ptr<RecordingWriter>> create(const std::string& path);
  /// Writes what is still buffered, where the file has its name; errors are lost, so call close()
  /// for them.
  ~RecordingWriter() override;

  /// Appends a record. It is in the file by the next Snapshot or TraceEnd at the latest. Blocks of
  /// any number are split over several records; what goes over kMaxBlocksPerWalk is left out, and
  /// the error says so, but the recording goes on.
  Result<void> accept(const model::Record& record) override;

  /// Gives the file its name if it has a record, brings everything to the disk (fsync) and closes
  /// it. Further calls do nothing. A failure that accept() has returned is not returned again.
  [[nodiscard]] Result<void> close();

  /// A failure has ended the recording.
  [[nodiscard]] bool failed() const { return failed_; }
  /// Bytes of the file so far, with those that are still buffered.
  [[nodiscard]] std::uint64_t size() const { return flushed_ + buffer_.size(); }

 private:
  RecordingWriter(std::string path, OutputFile file)
      : path_(std::move(path)), file_(std::move(file)) {}

  [[nodiscard]] Result<void> accept_blocks(const model::Blocks& walk);
  template <typename Encode>
  [[nodiscard]] Result<void> append_frame(Encode encode);
  [[nodiscard]] Result<void> flush();
  [[nodiscard]] Result<void> publish();
  [[nodiscard]] Result<void> give_up(std::size_t written, int error);
  [[nodiscard]] Unexpected end_recording(Error error);

  std::string path_;
  std::optional<OutputFile> file_;  ///< nothing: closed
  RecordEncoder encoder_;
  std::string buffer_;         ///< whole frames (at first the header) that are not in the file yet
  std::uint64_t flushed_ = 0;  ///< bytes in the file
  std::uint64_t walk_at_ns_ = 0;
  std::size_t walk_blocks_ = 0;
  bool failed_ = false;
};

}  // namespace leaktrace::collect
