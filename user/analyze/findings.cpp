// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/findings.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace leaktrace::analyze {
namespace {

using model::Resolution;
using model::Window;

/// Reused from site to site: most of the time would be spent in the allocator.
struct Scratch {
  std::vector<Window> whole;
  std::vector<Window> finer;
  Track track;
  Track best;
  std::vector<double> slopes;
  std::vector<double> ranges;
  std::vector<double> octaves;
};

bool is_better(const Rise& one, const Rise& than) {
  const bool holds = one.objection == Objection::none;
  const bool other_holds = than.objection == Objection::none;
  if (holds != other_holds) return holds;
  return one.p < than.p;
}

/// Looks at one amount in all views.
class Search {
 public:
  Search(const model::History& history, Amount amount, Scratch& scratch)
      : history_(history), amount_(amount), scratch_(scratch) {
    variance_ = amount == Amount::bytes ? history.bytes_variance() : history.count_variance();
  }

  Growth run() {
    whole();
    finer(Resolution::near);
    finer(Resolution::recent);
    if (!growth_.moved) return growth_;
    growth_.p = std::min(growth_.rise.p * static_cast<double>(std::max(views_, 1)), 0.9999);
    return growth_;
  }

 private:
  void whole() {
    constexpr std::size_t kStarts = 4;
    std::array<Objection, kStarts> finest{};
    for (std::size_t coarsening = 1; coarsening <= 3; ++coarsening) {
      coarsen(scratch_.whole, coarsening, amount_, scratch_.track);
      const std::size_t size = scratch_.track.size();
      if (coarsening == 1) {
        const auto [least, most] = std::ranges::minmax(scratch_.track.floor);
        growth_.moved = most > least;
        if (!growth_.moved) return;
      }
      const double width = history_.width(Resolution::whole) * static_cast<double>(coarsening);
      const std::array<std::size_t, kStarts> starts = {0, size / 4, size / 2,
                                                       size - std::min<std::size_t>(size, 8)};
      for (std::size_t i = 0; i < kStarts; ++i) {
        if (i > 0 && starts[i] == starts[i - 1]) continue;
        Rise rise = examine(scratch_.track, starts[i], {.variance = variance_});
        if (coarsening == 1) {
          finest[i] = rise.objection;
        } else if (rise.objection == Objection::none && is_of_shape(finest[i])) {
          rise.objection = finest[i];
        }
        take(rise, starts[i], width);
      }
    }
    doubling();
  }

  void doubling() {
    if (amount_ != Amount::bytes) return;
    history_.octaves(scratch_.octaves);
    coarsen(scratch_.whole, 1, amount_, scratch_.track);
    take(examine_doubling(scratch_.track, scratch_.octaves, {.variance = variance_}), 0,
         history_.width(Resolution::whole));
  }

  /// What a coarser view cannot tell better: it has fewer windows to see a bend in.
  static bool is_of_shape(Objection objection) {
    return objection == Objection::slowing || objection == Objection::stopped ||
           objection == Objection::load;
  }

  /// The newest windows at a finer resolution: a rise that has begun lately. It must go beyond all
  /// that was outstanding before, and beyond what is usual to come and go in one coarse window.
  void finer(Resolution resolution) {
    const double width = history_.width(resolution);
    const auto coarser = static_cast<Resolution>(static_cast<int>(resolution) - 1);
    if (!growth_.moved || width >= history_.width(coarser)) return;
    history_.windows(resolution, scratch_.finer);
    if (scratch_.finer.empty()) return;
    coarsen(scratch_.finer, 1, amount_, scratch_.track);
    Context context{.variance = variance_};
    auto& ranges = scratch_.ranges;
    ranges.clear();
    double top = 0;
    for (const Window& window : scratch_.whole) {
      if (window.end > scratch_.finer.front().start) break;
      const bool in_bytes = amount_ == Amount::bytes;
      const double floor = in_bytes ? window.floor_bytes : window.floor_count;
      const double most = in_bytes ? window.max_bytes : window.max_count;
      context.most_before = std::max(context.most_before, most);
      top = std::max(top, floor);
      context.fall_before = std::max(context.fall_before, top - floor);
      ranges.push_back(most - floor);
    }
    if (ranges.size() < 3) return;
    std::ranges::nth_element(ranges, ranges.begin() + static_cast<std::ptrdiff_t>(ranges.size() / 2));
    context.fall_before = std::max(context.fall_before, ranges[ranges.size() / 2]);
    take(examine(scratch_.track, 0, context), 0, width);
  }

  void take(const Rise& rise, std::size_t start, double width) {
    if (rise.objection == Objection::too_short) return;
    const bool is_first = ++views_ == 1;
    if (!is_first && !is_better(rise, growth_.rise)) return;
    const Track& track = scratch_.track;
    growth_.rise = rise;
    growth_.window_seconds = width;
    growth_.seconds = track.at.back() - track.at[start];
    growth_.slope = theil_sen(std::span(track.at).subspan(start),
                              std::span(track.floor).subspan(start), scratch_.slopes);
    if (variance_ > 0 && growth_.seconds > 0) {
      const double error = 1.96 * std::sqrt(variance_) / growth_.seconds;
      growth_.slope.low = std::min(growth_.slope.low, growth_.slope.value - error);
      growth_.slope.high = std::max(growth_.slope.high, growth_.slope.value + error);
    }
  }

  const model::History& history_;
  Amount amount_;
  Scratch& scratch_;
  Growth growth_;
  double variance_ = 0;
  int views_ = 0;
};

Level level_of(const Track& track) {
  Level level;
  level.windows = track.size();
  if (track.size() == 0) return level;
  level.seconds = track.at.back() - track.at.front();
  level.now = track.last.back();
  level.fall = deepest_fall(track.floor);
  level.range = std::ranges::max(track.most) - std::ranges::min(track.floor);
  const std::size_t half = track.size() / 2;
  level.half_low = *std::min_element(track.floor.begin() + static_cast<std::ptrdiff_t>(half), track.floor.end());
  level.half_high = *std::max_element(track.most.begin() + static_cast<std::ptrdiff_t>(half), track.most.end());
  level.half_gain = track.floor.back() - track.floor[half];
  while (level.still < track.size()) {
    const std::size_t i = track.size() - 1 - level.still;
    if (track.floor[i] != level.now || track.most[i] != level.now) break;
    if (track.acquired[i] > 0) break;
    ++level.still;
  }
  std::vector<double> steps{track.last.front()};
  for (std::size_t i = 1; i < track.size(); ++i) steps.push_back(track.last[i] - track.last[i - 1]);
  std::ranges::sort(steps, std::greater<>());
  const double two = steps.front() + (steps.size() > 1 ? std::max(steps[1], 0.0) : 0);
  level.largest_step = level.now > 0 ? std::min(two / level.now, 1.0) : 0;
  return level;
}

/// Looks for the longest age, from half of the history down, at which much must have stayed.
Survival survival_of(std::span<const Window> windows, double watched) {
  Survival best;
  if (windows.size() < 2) return best;
  const double now = windows.back().last_count;
  double acquired = 0;
  for (std::size_t i = windows.size() - 1; i > 0; --i) {
    acquired += windows[i].acquired_count;
    const double before = windows[i - 1].last_count;
    if (before <= 0) continue;
    const double share = std::clamp((now - acquired) / before, 0.0, 1.0);
    if (share < 0.5) break;
    if (i + 1 < windows.size() / 2) break;
    best = {share, std::max(watched - windows[i - 1].end, 0.0)};
  }
  return best;
}

}  // namespace

Findings find(const VerdictInput& input) {
  Findings found;
  if (input.history == nullptr || input.history->empty()) return found;
  thread_local Scratch scratch;
  const model::History history = input.history->as_of(input.now_ns, input.work);
  history.windows(Resolution::whole, scratch.whole);
  found.bytes = Search(history, Amount::bytes, scratch).run();
  found.count = Search(history, Amount::count, scratch).run();
  found.by_count = std::ranges::all_of(scratch.whole, [](const Window& w) { return w.max_bytes == 0; });
  coarsen(scratch.whole, 1, found.by_count ? Amount::count : Amount::bytes, scratch.track);
  found.level = level_of(scratch.track);
  found.survival = survival_of(scratch.whole, history.watched_seconds());
  if (input.now_ns > input.since_ns) {
    found.oldest_seconds = static_cast<double>(input.now_ns - input.since_ns) / 1e9;
  }
  return found;
}

}  // namespace leaktrace::analyze
