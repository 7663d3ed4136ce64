// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <vector>

#include "tests/bpf/engine/hooked.h"
#include "user/collect/live_source.h"
#include "user/model/trace.h"
#include "user/tracer/tracer.h"

namespace leaktrace::test {

/// A child of this process that waits, does one thing when told, and waits again until it is
/// destroyed, so that what it holds can be looked at.
class Child {
 public:
  /// `work` runs in the child. It must not use the heap where that is traced.
  explicit Child(std::function<void()> work);
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child();

  [[nodiscard]] pid_t pid() const { return pid_; }
  /// Lets it work; returns when it is done. False when it ended instead.
  [[nodiscard]] bool work();
  /// Ends it and waits for the end.
  void end();

 private:
  pid_t pid_ = -1;
  int go_ = -1;
  int done_ = -1;
};

/// A whole kernel side, with the catalog of hooked.h unless told otherwise, and the trace that
/// comes out of it.
class TracedHooks {
 public:
  struct Options {
    tracer::ProbeMode mode = tracer::ProbeMode::single;
    tracer::EngineLimits limits;
    std::vector<catalog::Row> rows = hooked_rows();
    bool follow = false;
    /// What the kernel says is mapped, asked for after lost events; none: nothing is asked.
    std::function<std::vector<collect::MappedImage>()> mapped;
  };

  explicit TracedHooks(Options options);

  [[nodiscard]] tracer::Tracer& tracer() { return *tracer_; }
  /// Attaches, runs the child's work, and reads counters and blocks.
  void trace(Child& child);
  /// Reads counters and blocks again.
  void read();
  /// What reads the kernel side.
  [[nodiscard]] collect::LiveSource& source() { return *source_; }
  [[nodiscard]] const model::Trace& trace_model() const { return trace_; }

  /// Sums over all sites of a kind (and one process, unless 0).
  [[nodiscard]] model::Counters total(model::Kind kind, pid_t pid = 0) const;
  [[nodiscard]] std::size_t blocks(model::Kind kind) const;
  [[nodiscard]] std::uint64_t loss(lt_loss cause) const;
  /// The sum of losses that are none of the expected ones.
  [[nodiscard]] std::uint64_t losses_but(std::vector<lt_loss> expected) const;

 private:
  model::Trace trace_;
  collect::TraceSink sink_{trace_};
  std::unique_ptr<tracer::Tracer> tracer_;
  std::unique_ptr<collect::LiveSource> source_;
};

}  // namespace leaktrace::test
