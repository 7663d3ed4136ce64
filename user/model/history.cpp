// SPDX-License-Identifier: Apache-2.0
#include "user/model/history.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace leaktrace::model {
namespace {

constexpr unsigned kTickShift = 24;                   // 2^24 ns: 16.8 ms
constexpr std::uint64_t kMostTicks = UINT32_MAX / 2;  // windows may end beyond the newest reading
constexpr double kTickSeconds = static_cast<double>(1ULL << kTickShift) / 1e9;

std::uint32_t to_ticks(std::uint64_t ns) {
  return static_cast<std::uint32_t>(std::min(ns >> kTickShift, kMostTicks));
}

/// Watched time does not go beyond what windows can tell.
std::uint64_t later(std::uint64_t ns, std::uint64_t duration) {
  constexpr std::uint64_t kMost = kMostTicks << kTickShift;
  return ns + std::min(duration, kMost - std::min(ns, kMost));
}

float finite(double value) {
  if (!(value > 0)) return 0;  // not a number, too
  return static_cast<float>(std::min(value, 1e30));
}

}  // namespace

void History::Packed::join(const Packed& later) {
  end = std::max(end, later.end);
  floor_bytes = std::min(floor_bytes, later.floor_bytes);
  floor_count = std::min(floor_count, later.floor_count);
  max_bytes = std::max(max_bytes, later.max_bytes);
  max_count = std::max(max_count, later.max_count);
  last_bytes = later.last_bytes;
  last_count = later.last_count;
  acquired += later.acquired;
  work += later.work;
}

History::Packed History::point(double bytes, double count) const {
  Packed made;
  made.start = made.end = to_ticks(watched_ns_);
  made.floor_bytes = made.max_bytes = made.last_bytes = static_cast<float>(bytes);
  made.floor_count = made.max_count = made.last_count = static_cast<float>(count);
  return made;
}

std::uint32_t History::ticks(Resolution resolution) const {
  std::uint32_t width = width_;
  if (resolution == Resolution::near) width /= 4;
  if (resolution == Resolution::recent) width /= 32;
  if (resolution == Resolution::newest) width = 0;
  return std::max(std::min(std::max(width, kFinest * interval_), width_), 1U);
}

std::size_t History::capacity(Resolution resolution) {
  return resolution == Resolution::whole ? kWhole : kFine;
}

History::Windows& History::of(Resolution resolution) {
  return windows_[static_cast<std::size_t>(resolution)];
}

double History::width(Resolution resolution) const {
  return ticks(resolution) * kTickSeconds;
}

double History::watched_seconds() const {
  return static_cast<double>(watched_ns_) / 1e9;
}

std::size_t History::memory() const {
  std::size_t bytes = sizeof *this;
  for (const Windows& windows : windows_) bytes += windows.capacity() * sizeof(Packed);
  return bytes;
}

/// Makes windows as wide as it takes for `whole` to reach to `tick`.
void History::fit(std::uint32_t tick) {
  while (tick / width_ >= kWhole) {
    width_ *= 2;
    for (const Resolution resolution : kResolutions) {
      Windows& windows = of(resolution);
      const std::uint32_t width = ticks(resolution);
      std::size_t kept = 0;
      for (std::size_t i = 1; i < windows.size(); ++i) {
        if (windows[kept].start / width == windows[i].start / width) {
          windows[kept].join(windows[i]);
        } else {
          windows[++kept] = windows[i];
        }
      }
      if (!windows.empty()) windows.resize(kept + 1);
    }
  }
}

void History::put(Resolution resolution, const Packed& reading) {
  Windows& windows = of(resolution);
  const std::uint32_t width = ticks(resolution);
  if (!windows.empty() && windows.back().start / width == reading.start / width) {
    windows.back().join(reading);
    return;
  }
  const std::size_t most = capacity(resolution);
  if (windows.size() == most) windows.erase(windows.begin());
  if (windows.size() == windows.capacity()) {
    // Never more than it may hold: a vector left to itself may take twice as much.
    windows.reserve(std::min(most, std::max<std::size_t>(4, windows.size() * 2)));
  }
  windows.push_back(reading);
}

void History::put(const Packed& reading) {
  fit(reading.end);
  note_octaves(reading.end, reading.end, reading.floor_bytes);
  for (const Resolution resolution : kResolutions) put(resolution, reading);
}

void History::note_octaves(std::uint32_t from, std::uint32_t until, float bytes) {
  const auto octave = [&](std::uint32_t tick) {
    const auto index = static_cast<std::size_t>(std::bit_width(tick / interval_));
    return std::min(index, kOctaves - 1);
  };
  for (std::size_t i = octave(from); i <= octave(until); ++i) {
    // Octaves that a gap skipped are as their neighbour.
    while (octave_count_ <= i) octaves_[octave_count_++] = bytes;
    octaves_[i] = std::min(octaves_[i], bytes);
  }
}

void History::octaves(std::vector<double>& out) const {
  out.assign(octaves_, octaves_ + octave_count_);
}

/// The last reading holds for so long more.
void History::stay(std::uint64_t duration_ns, double work) {
  const std::uint64_t from_ns = watched_ns_;
  watched_ns_ = later(watched_ns_, duration_ns);
  const std::uint32_t from = to_ticks(from_ns);
  const std::uint32_t until = to_ticks(watched_ns_);
  if (until == from) return;
  fit(until);
  note_octaves(from, until, static_cast<float>(last_.bytes));
  const float done = finite(work - last_.work);
  for (const Resolution resolution : kResolutions) {
    const std::uint32_t width = ticks(resolution);
    // Of what the windows would forget at once, none is made.
    const std::uint32_t span = width * static_cast<std::uint32_t>(capacity(resolution));
    std::uint32_t at = until - from > span ? until - span : from;
    while (at < until) {
      const std::uint32_t end = std::min((at / width + 1) * width, until);
      Packed part = point(static_cast<double>(last_.bytes), static_cast<double>(last_.count));
      part.start = at;
      part.end = end == until ? until : end - 1;
      part.work = done * static_cast<float>(end - at) / static_cast<float>(until - from);
      put(resolution, part);
      at = end;
    }
  }
  last_.work = std::max(last_.work, work);
}

/// Watched time since the process was read before; keeps the usual interval.
std::uint64_t History::interval_until(const Reading& reading) {
  const std::uint64_t since = std::max(reading.previous_ns, last_.at_ns);
  if (reading.at_ns <= since) return 0;
  const std::uint64_t interval = reading.at_ns - since;
  if (usual_ns_ == 0) {
    usual_ns_ = interval;
    return interval;
  }
  if (interval / kGapIntervals > usual_ns_) {
    const std::uint64_t counted = usual_ns_;
    usual_ns_ = later(usual_ns_,
                      usual_ns_);  // an interval that was made longer is usual after some readings
    return counted;
  }
  usual_ns_ = std::max<std::uint64_t>(1, usual_ns_ - usual_ns_ / 8 + interval / 8);
  return interval;
}

/// The first reading of the site.
void History::begin(const Reading& reading) {
  const bool is_new = reading.previous_ns > 0 && reading.previous_ns < reading.at_ns;
  // A site that is new in a process that was read before held nothing then.
  first_ns_ = is_new ? reading.previous_ns : reading.at_ns;
  first_bytes_ = is_new ? 0 : reading.bytes;
  first_count_ = is_new ? 0 : reading.count;
  width_ = interval_ = 1;
  last_.at_ns = first_ns_;
  last_.work = finite(reading.work);
  if (is_new) put(point(0, 0));
}

void History::add(const Reading& reading) {
  const bool is_first = empty();
  if (is_first) begin(reading);
  const std::uint64_t interval = interval_until(reading);
  if (interval_ == 1 && usual_ns_ > 0) {
    interval_ = std::max(1U, to_ticks(usual_ns_));
    width_ = std::max(width_, interval_);
  }
  if (reading.previous_ns > last_.at_ns && reading.previous_ns < reading.at_ns) {
    stay(reading.previous_ns - last_.at_ns, last_.work);
  }
  watched_ns_ = later(watched_ns_, interval);
  if (!is_first && reading.acquired_count < last_.acquired_count) {
    put(point(0, 0));  // the totals begin anew
    last_.acquired_count = 0;
  }
  Packed now = point(static_cast<double>(reading.bytes), static_cast<double>(reading.count));
  if (!is_first || first_ns_ < reading.at_ns) {
    now.acquired = finite(static_cast<double>(reading.acquired_count - last_.acquired_count));
    now.work = finite(reading.work - last_.work);
  }
  put(now);
  last_ = {.at_ns = reading.at_ns,
           .bytes = reading.bytes,
           .count = reading.count,
           .acquired_count = reading.acquired_count,
           .work = finite(reading.work),
           .bytes_variance = finite(reading.bytes_variance),
           .count_variance = finite(reading.count_variance),
           .observed = std::min(finite(reading.observed), 1.0F)};
}

History History::as_of(std::uint64_t now_ns, double work) const {
  History extended = *this;
  if (!empty() && now_ns > last_.at_ns) {
    extended.stay(now_ns - last_.at_ns, std::isfinite(work) ? work : last_.work);
    extended.last_.at_ns = now_ns;
  }
  return extended;
}

void History::windows(Resolution resolution, std::vector<Window>& out) const {
  out.clear();
  for (const Packed& from : windows_[static_cast<std::size_t>(resolution)]) {
    out.push_back({from.start * kTickSeconds, from.end * kTickSeconds, from.floor_bytes,
                   from.max_bytes, from.last_bytes, from.floor_count, from.max_count,
                   from.last_count, from.acquired, from.work});
  }
}

}  // namespace leaktrace::model
