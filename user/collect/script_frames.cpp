// SPDX-License-Identifier: Apache-2.0
#include "user/collect/script_frames.h"

#include <algorithm>
#include <cstddef>

namespace leaktrace::collect {
namespace {

/// Hands out the script frames run by run.
class Runs {
 public:
  explicit Runs(const std::vector<ScriptFrame>& frames) : frames_(frames) {}

  [[nodiscard]] std::size_t count() const {
    const auto entered = std::ranges::count_if(frames_, &ScriptFrame::entered);
    const bool open = !frames_.empty() && !frames_.back().entered;
    return static_cast<std::size_t>(entered) + (open ? 1 : 0);
  }

  void append_next(std::vector<model::RawFrame>& to) {
    while (at_ < frames_.size()) {
      const ScriptFrame& frame = frames_[at_++];
      to.push_back(frame.frame);
      if (frame.entered) return;
    }
  }

 private:
  const std::vector<ScriptFrame>& frames_;
  std::size_t at_ = 0;
};

}  // namespace

std::vector<model::RawFrame> join_frames(const std::vector<NativeFrame>& native,
                                         const std::vector<ScriptFrame>& script, bool complete) {
  std::vector<model::RawFrame> joined;
  joined.reserve(native.size() + script.size());
  Runs runs(script);
  const auto evaluations =
      static_cast<std::size_t>(std::ranges::count_if(native, &NativeFrame::evaluates));
  // Of evaluations without a run the innermost; of runs without an evaluation too.
  std::size_t without_run = 0;
  std::size_t surplus = 0;
  if (complete && evaluations > runs.count()) without_run = evaluations - runs.count();
  if (complete && evaluations < runs.count()) surplus = runs.count() - evaluations;
  for (const NativeFrame& frame : native) {
    if (frame.evaluates && without_run > 0) {
      --without_run;
    } else if (frame.evaluates) {
      for (; surplus > 0; --surplus) runs.append_next(joined);
      runs.append_next(joined);
    }
    joined.push_back(frame.frame);
  }
  return joined;
}

}  // namespace leaktrace::collect
