// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/findings.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace leaktrace::analyze {
namespace {

using model::Resolution;
using model::Window;

constexpr double kUrgentBytes = 64.0 * (1 << 20);
constexpr double kUrgentRatio = 3;

/// Reused from site to site: most of the time would be spent in the allocator.
struct Scratch {
  std::vector<Window> whole;
  std::vector<Window> finer;
  Track track;
  std::vector<double> slopes;
  std::vector<double> ranges;
  std::vector<double> octaves;
};

/// Looks at one amount in all views.
class Search {
 public:
  Search(const model::History& history, Amount amount, double least_seconds, Scratch& scratch)
      : history_(history), amount_(amount), least_seconds_(least_seconds), scratch_(scratch) {
    variance_ = amount == Amount::bytes ? history.bytes_variance() : history.count_variance();
  }

  Growth run() {
    const bool in_bytes = amount_ == Amount::bytes;
    double least = HUGE_VAL;
    double most = 0;
    for (const Window& window : scratch_.whole) {
      least = std::min(least, in_bytes ? window.floor_bytes : window.floor_count);
      most = std::max(most, in_bytes ? window.max_bytes : window.max_count);
    }
    growth_.moved = most > least;
    if (!growth_.moved) return growth_;
    whole();
    if (in_bytes) doubling();
    finer(Resolution::near);
    finer(Resolution::recent);
    finer(Resolution::newest);
    growth_.p = std::min(growth_.rise.p * starts_, 0.9999);
    set_slope();
    return growth_;
  }

 private:
  /// What a view was made of.
  struct View {
    Resolution resolution = Resolution::whole;
    std::size_t coarsening = 1;
    std::size_t start = 0;
  };

  void whole() {
    constexpr std::size_t kStarts = 4;
    std::array<Objection, kStarts> finest{};
    for (std::size_t coarsening = 1; coarsening <= 3; ++coarsening) {
      coarsen(scratch_.whole, coarsening, amount_, scratch_.track);
      const std::size_t size = scratch_.track.size();
      const std::array<std::size_t, kStarts> starts = {0, size / 4, size / 2,
                                                       size - std::min<std::size_t>(size, 8)};
      for (std::size_t i = 0; i < kStarts; ++i) {
        if (i > 0 && starts[i] == starts[i - 1]) continue;
        Rise rise = examine(scratch_.track, starts[i], context());
        if (coarsening == 1) {
          if (i == 0) fades_ = fades(scratch_.track);
          finest[i] = rise.objection;
          starts_ += rise.objection == Objection::too_short ? 0 : 1;
        } else if (rise.objection == Objection::none && is_of_shape(finest[i])) {
          rise.objection = finest[i];
        }
        if (starts[i] < size) take(rise, {Resolution::whole, coarsening, starts[i]});
      }
    }
  }

  /// What a coarser view cannot tell better: it has fewer windows to see a bend in.
  static bool is_of_shape(Objection objection) {
    return objection == Objection::slowing || objection == Objection::stopped ||
           objection == Objection::load;
  }

  void doubling() {
    history_.octaves(scratch_.octaves);
    coarsen(scratch_.whole, 1, amount_, scratch_.track);
    take(examine_doubling(scratch_.track, scratch_.octaves, context()), {});
  }

  /// The newest windows at a finer resolution: a rise that has begun lately. It must go beyond all
  /// that was outstanding before, and beyond what is usual to come and go in one coarse window.
  void finer(Resolution resolution) {
    const auto coarser = static_cast<Resolution>(static_cast<int>(resolution) - 1);
    if (history_.width(resolution) >= history_.width(coarser)) return;
    history_.windows(resolution, scratch_.finer);
    coarsen(scratch_.finer, 1, amount_, scratch_.track);
    Context context = this->context();
    auto& ranges = scratch_.ranges;
    ranges.clear();
    double top = 0;
    const bool in_bytes = amount_ == Amount::bytes;
    for (const Window& window : scratch_.whole) {
      if (scratch_.finer.empty() || window.end > scratch_.finer.front().start) break;
      const double floor = in_bytes ? window.floor_bytes : window.floor_count;
      const double most = in_bytes ? window.max_bytes : window.max_count;
      context.most_before = std::max(context.most_before, most);
      top = std::max(top, floor);
      context.fall_before = std::max(context.fall_before, top - floor);
      ranges.push_back(most - floor);
    }
    if (ranges.size() < 3) return;
    const auto middle = ranges.begin() + static_cast<std::ptrdiff_t>(ranges.size() / 2);
    std::ranges::nth_element(ranges, middle);
    context.fall_before = std::max(context.fall_before, *middle);
    if (resolution == Resolution::newest) {
      // So short a time counts only for what may fill the machine before longer windows see it.
      if (!in_bytes) return;
      context.least_growth = std::max(kUrgentBytes, kUrgentRatio * context.most_before);
    }
    const Rise rise = examine(scratch_.track, 0, context);
    starts_ += rise.objection == Objection::too_short ? 0 : 1;
    take(rise, {resolution, 1, 0});
  }

  [[nodiscard]] Context context() const {
    return {.variance = variance_, .enough = growth_.rise.p};
  }

  void take(Rise rise, const View& view) {
    const double seconds = scratch_.track.at.back() - scratch_.track.at[view.start];
    if (seconds < least_seconds_) rise.objection = Objection::too_short;
    if (fades_ && !rise.by_doubling && rise.objection == Objection::none) {
      rise.objection = Objection::slowing;
    }
    const bool is_first = growth_.rise.objection == Objection::too_short;
    const bool holds = rise.objection == Objection::none;
    if (!is_first && !(holds && rise.p < growth_.rise.p)) return;
    growth_.rise = rise;
    view_ = view;
  }

  void set_slope() {
    history_.windows(view_.resolution, scratch_.finer);
    Track& track = scratch_.track;
    coarsen(scratch_.finer, view_.coarsening, amount_, track);
    growth_.window_seconds =
        history_.width(view_.resolution) * static_cast<double>(view_.coarsening);
    growth_.seconds = track.at.back() - track.at[view_.start];
    growth_.slope = theil_sen(std::span(track.at).subspan(view_.start),
                              std::span(track.floor).subspan(view_.start), scratch_.slopes);
    if (variance_ <= 0 || growth_.seconds <= 0) return;
    const double error = 1.96 * std::sqrt(variance_) / growth_.seconds;
    growth_.slope.low = std::min(growth_.slope.low, growth_.slope.value - error);
    growth_.slope.high = std::max(growth_.slope.high, growth_.slope.value + error);
  }

  const model::History& history_;
  Amount amount_;
  double least_seconds_;
  Scratch& scratch_;
  Growth growth_;
  View view_;
  double variance_ = 0;
  bool fades_ = false;
  double starts_ = 0;  ///< beginnings that were tried: each may rise by chance
};

/// The size of all blocks of the site, as far as windows show that they have one; else 0.
double size_of_blocks(std::span<const Window> windows) {
  const Window& last = windows.back();
  if (last.max_count <= 0 || last.max_bytes <= 0) return 0;
  const double size = last.max_bytes / last.max_count;
  const auto is_of_size = [&](double bytes, double count) {
    return std::abs(bytes - count * size) <= 1e-6 * bytes;
  };
  for (const Window& window : windows) {
    if (!is_of_size(window.floor_bytes, window.floor_count)) return 0;
    if (!is_of_size(window.max_bytes, window.max_count)) return 0;
  }
  return size;
}

/// The same growth of a site whose blocks are all of one size.
Growth in_number(const Growth& bytes, double size) {
  Growth count = bytes;
  count.rise.growth /= size;
  count.rise.from /= size;
  count.rise.to /= size;
  count.slope = {bytes.slope.value / size, bytes.slope.low / size, bytes.slope.high / size};
  return count;
}

Level level_of(const Track& track) {
  Level level;
  level.windows = track.size();
  if (track.size() == 0) return level;
  level.seconds = track.at.back() - track.at.front();
  level.now = track.last.back();
  level.fall = deepest_fall(track.floor);
  level.range = std::ranges::max(track.most) - std::ranges::min(track.floor);
  const std::size_t half = track.size() / 2;
  level.half_low =
      *std::min_element(track.floor.begin() + static_cast<std::ptrdiff_t>(half), track.floor.end());
  level.half_high =
      *std::max_element(track.most.begin() + static_cast<std::ptrdiff_t>(half), track.most.end());
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
    acquired += windows[i].acquired;
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

Findings find(const VerdictInput& input, const VerdictOptions& options) {
  Findings found;
  if (input.history == nullptr || input.history->empty()) return found;
  thread_local Scratch scratch;
  const model::History history = input.history->as_of(input.now_ns, input.work);
  history.windows(Resolution::whole, scratch.whole);
  found.bytes = Search(history, Amount::bytes, options.least_seconds, scratch).run();
  const double size = size_of_blocks(scratch.whole);
  found.count = size > 0 ? in_number(found.bytes, size)
                         : Search(history, Amount::count, options.least_seconds, scratch).run();
  found.by_count =
      std::ranges::all_of(scratch.whole, [](const Window& w) { return w.max_bytes == 0; });
  coarsen(scratch.whole, 1, found.by_count ? Amount::count : Amount::bytes, scratch.track);
  found.level = level_of(scratch.track);
  found.survival = survival_of(scratch.whole, history.watched_seconds());
  if (input.now_ns > input.since_ns) {
    found.oldest_seconds = static_cast<double>(input.now_ns - input.since_ns) / 1e9;
  }
  return found;
}

}  // namespace leaktrace::analyze
