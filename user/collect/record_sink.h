// SPDX-License-Identifier: Apache-2.0
//
// Where a stream of records goes. A live trace and a replayed recording both write into a sink, so
// that whatever reads them need not know which it is.
#pragma once

#include <utility>
#include <vector>

#include "user/base/result.h"
#include "user/model/record.h"
#include "user/model/trace.h"

namespace leaktrace::collect {

class RecordSink {
 public:
  RecordSink() = default;
  RecordSink(const RecordSink&) = delete;
  RecordSink& operator=(const RecordSink&) = delete;
  virtual ~RecordSink() = default;

  /// Takes the next record of the stream. An error says that this sink could not keep it; the
  /// stream may go on.
  [[nodiscard]] virtual Result<void> accept(const model::Record& record) = 0;
};

/// Builds the trace that the records tell. The trace belongs to the caller and must outlive this.
class TraceSink final : public RecordSink {
 public:
  explicit TraceSink(model::Trace& trace) : trace_(trace) {}

  Result<void> accept(const model::Record& record) override {
    trace_.apply(record);
    return {};
  }

 private:
  model::Trace& trace_;
};

/// Gives each record to every one of several sinks, which belong to the caller. All of them get
/// it, whichever fails; the first failure is what accept() returns.
class TeeSink final : public RecordSink {
 public:
  explicit TeeSink(std::vector<RecordSink*> sinks) : sinks_(std::move(sinks)) {}

  Result<void> accept(const model::Record& record) override {
    Result<void> outcome;
    for (RecordSink* sink : sinks_) {
      auto accepted = sink->accept(record);
      if (!accepted && outcome) outcome = std::move(accepted);
    }
    return outcome;
  }

 private:
  std::vector<RecordSink*> sinks_;
};

}  // namespace leaktrace::collect
