// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "user/base/result.h"
#include "user/collect/record_sink.h"

namespace leaktrace::collect {

class RecordingInput;

/// What a replay found.
struct ReplaySummary {
  std::uint64_t records = 0;          ///< given to the sink
  std::uint64_t unknown_records = 0;  ///< of types that a newer leaktrace wrote: skipped
  std::uint64_t bytes_read = 0;       ///< of the file, header and all whole records
  bool cut_off = false;               ///< the end record was not reached
  /// Why not, in words ("cut off at byte 123456: the trace had no end record"). Without cut_off: a
  /// remark about what follows the end record, or empty.
  std::string reason;
};

/// A recording as a stream of records. Reads as it goes; holds one record at a time, whatever the
/// file claims.
class ReplaySource {
 public:
  /// Opens a recording and checks that it is one. Errors name the file: it cannot be opened, is
  /// empty, a folder, no recording, or in a format newer than this program.
  [[nodiscard]] static Result<ReplaySource> open(const std::string& path);
  /// A recording in memory, which belongs to the caller and must outlive this. `name` stands for
  /// the path in errors.
  [[nodiscard]] static Result<ReplaySource> from_bytes(std::string_view bytes, std::string name);

  ReplaySource(ReplaySource&&) noexcept;
  ReplaySource& operator=(ReplaySource&&) noexcept;
  ~ReplaySource();

  /// Gives every whole record to the sink, up to the end record, the end of the file, or the first
  /// damage; the summary says which. Call it once. The only errors are the sink's own.
  [[nodiscard]] Result<ReplaySummary> replay(RecordSink& sink);

 private:
  explicit ReplaySource(std::unique_ptr<RecordingInput> input);

  std::unique_ptr<RecordingInput> input_;
};

}  // namespace leaktrace::collect
