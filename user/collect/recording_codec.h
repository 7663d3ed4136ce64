// SPDX-License-Identifier: Apache-2.0
//
// Records to payloads of frames and back. Both sides keep state from frame to frame
// (recording.proto says which), so one encoder or decoder serves one recording from its start.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "user/base/result.h"
#include "user/model/record.h"

namespace leaktrace::collect {

class RecordEncoder {
 public:
  RecordEncoder();
  ~RecordEncoder();
  RecordEncoder(RecordEncoder&&) noexcept;
  RecordEncoder& operator=(RecordEncoder&&) noexcept;

  /// Appends the record's payload to `out`. Every payload must be written, in this order: later
  /// ones build on it.
  void encode(const model::Record& record, std::string& out);
  /// The same for the part of a walk that fits a frame.
  void encode(const model::Blocks& walk, std::size_t first, std::size_t count, std::string& out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class RecordDecoder {
 public:
  RecordDecoder();
  ~RecordDecoder();
  RecordDecoder(RecordDecoder&&) noexcept;
  RecordDecoder& operator=(RecordDecoder&&) noexcept;

  /// The record of a payload; nothing when it is of a type that this version does not know. An
  /// error ("call site 7 was never defined") means that the recording cannot be read on.
  [[nodiscard]] Result<std::optional<model::Record>> decode(std::string_view payload);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace leaktrace::collect
