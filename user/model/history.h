// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace leaktrace::model {

/// What was read of one call site at one time.
struct Reading {
  std::uint64_t at_ns = 0;
  /// When the counters of the process were read before, whether this site had changed by then or
  /// not; 0: this is the first reading of the process. Between the reading of the site before and
  /// this time nothing changed; at_ns - previous_ns is the interval.
  std::uint64_t previous_ns = 0;
  std::uint64_t count = 0;  ///< outstanding
  std::uint64_t bytes = 0;  ///< outstanding
  std::uint64_t acquired_count = 0;
  double count_variance = 0;  ///< of `count`, by sampling and by what was not observed; 0: exact
  double bytes_variance = 0;
  double observed = 1;  ///< share of the time up to now in which probes were attached
  /// Running total of the work that the process has done, of any unit that measures its load alike
  /// from beginning to end: what all its sites acquired, in number.
  double work = 0;
};

/// A stretch of a site's history. Times are seconds of watched time: since the history began,
/// without the gaps in which nobody read.
struct Window {
  double start = 0;  ///< of the first reading in it
  double end = 0;    ///< of the last one
  double floor_bytes = 0;
  double max_bytes = 0;
  double last_bytes = 0;
  double floor_count = 0;
  double max_count = 0;
  double last_count = 0;
  double acquired = 0;  ///< since the window before, in number
  double work = 0;      ///< done since the window before
};

/// The resolutions of a History, the coarsest first.
enum class Resolution { whole, near, recent, newest };
inline constexpr Resolution kResolutions[] = {Resolution::whole, Resolution::near,
                                              Resolution::recent, Resolution::newest};

/// The time series of one call site at four resolutions, so that an hour and a month both fit in
/// kMaxBytes.
///
///   whole   |███|███|███|███|███|███|███|███|███|███|███|███|██    10 to 20 windows: all of it
///   near                                    |█|█|█|█|█|█|█|█|█    8 windows, each a quarter
///   recent                                                ||||    8 windows, each a 32nd
///   newest                                                   ¦    8 windows, each 4 intervals
///
/// Beside them, the least in each octave of time since the beginning.
///
/// What is forgotten: when `whole` is full, its windows are merged two by two and are twice as wide
/// from then on, and so are those of `near` and `recent`; these, and `newest`, drop their oldest
/// window when they are full. So of a history, a window is never wider than a tenth, and nothing is
/// forgotten but the order of readings within a window. No window is narrower than the interval of
/// readings, and but in `whole` than four.
///
/// Times are watched time. A reading that is no later than the one before (a clock that steps back)
/// joins it, with no time between. An interval more than kGapIntervals times as long as is usual (a
/// suspended machine) counts as a usual one, and no window is made for the rest of it. Where the
/// totals fall (a site that was recycled and came back), the site held nothing in between.
///
/// Windows hold floats: an amount is rounded to 24 bits (at 1 GiB: 64 B), which is monotone, so
/// that rounding alone makes nothing rise. Times are rounded to 2^24 ns (17 ms) and end after a
/// year.
///
/// A reading costs O(1), however long the history (amortized: a merge of 20 windows after as many
/// windows); so does telling it that nothing changed (as_of).
class History {
 public:
  static constexpr std::size_t kMaxBytes = 2048;
  static constexpr std::uint64_t kGapIntervals = 8;

  void add(const Reading& reading);

  /// The history as it is at `now_ns`, when nothing has changed since the last reading and the
  /// process has done `work` by now.
  [[nodiscard]] History as_of(std::uint64_t now_ns, double work) const;

  /// The windows of a resolution, oldest first, into `out`, whose content before is dropped.
  void windows(Resolution resolution, std::vector<Window>& out) const;

  /// The least bytes that were outstanding in each octave of watched time, oldest first, into
  /// `out`: from 1 to 2 intervals, 2 to 4, 4 to 8 and so on; the newest is not over.
  void octaves(std::vector<double>& out) const;

  /// Width of a resolution's windows in seconds. Of two with the same width, the finer says nothing
  /// that the coarser does not.
  [[nodiscard]] double width(Resolution resolution) const;

  [[nodiscard]] bool empty() const { return windows_[0].empty(); }
  [[nodiscard]] std::uint64_t first_ns() const { return first_ns_; }
  [[nodiscard]] std::uint64_t first_bytes() const { return first_bytes_; }
  [[nodiscard]] std::uint64_t first_count() const { return first_count_; }
  [[nodiscard]] std::uint64_t last_ns() const { return last_.at_ns; }
  [[nodiscard]] std::uint64_t last_bytes() const { return last_.bytes; }
  [[nodiscard]] std::uint64_t last_count() const { return last_.count; }
  [[nodiscard]] double bytes_variance() const { return last_.bytes_variance; }
  [[nodiscard]] double count_variance() const { return last_.count_variance; }
  [[nodiscard]] double observed() const { return last_.observed; }
  /// Time that was watched, gaps left out.
  [[nodiscard]] double watched_seconds() const;
  /// Bytes that this object takes, on the heap too.
  [[nodiscard]] std::size_t memory() const;

 private:
  static constexpr std::size_t kWhole = 20;
  static constexpr std::size_t kFine = 8;
  static constexpr std::uint32_t kFinest = 4;  ///< intervals
  static constexpr std::size_t kOctaves = 18;

  struct Packed {
    std::uint32_t start = 0;  ///< in ticks of watched time
    std::uint32_t end = 0;
    float floor_bytes = 0, max_bytes = 0, last_bytes = 0;
    float floor_count = 0, max_count = 0, last_count = 0;
    float acquired = 0;
    float work = 0;

    void join(const Packed& later);
  };
  using Windows = std::vector<Packed>;

  void begin(const Reading& reading);
  [[nodiscard]] std::uint64_t interval_until(const Reading& reading);
  void stay(std::uint64_t duration_ns, double work);
  void put(const Packed& reading);
  void put(Resolution resolution, const Packed& reading);
  [[nodiscard]] Windows& of(Resolution resolution);
  [[nodiscard]] static std::size_t capacity(Resolution resolution);
  void fit(std::uint32_t tick);
  void note_octaves(std::uint32_t from, std::uint32_t until, float bytes);
  [[nodiscard]] Packed point(double bytes, double count) const;
  [[nodiscard]] std::uint32_t ticks(Resolution resolution) const;

  Windows windows_[4];
  float octaves_[kOctaves] = {};
  std::uint32_t octave_count_ = 0;
  std::uint32_t width_ = 0;     ///< of `whole`, in ticks
  std::uint32_t interval_ = 0;  ///< narrowest width, in ticks
  std::uint64_t watched_ns_ = 0;
  std::uint64_t usual_ns_ = 0;  ///< interval of readings
  std::uint64_t first_ns_ = 0;
  std::uint64_t first_bytes_ = 0;
  std::uint64_t first_count_ = 0;
  /// The reading before, as far as it is needed.
  struct Last {
    std::uint64_t at_ns = 0;
    std::uint64_t bytes = 0;
    std::uint64_t count = 0;
    std::uint64_t acquired_count = 0;
    double work = 0;
    float bytes_variance = 0;
    float count_variance = 0;
    float observed = 1;
  } last_;
};

}  // namespace leaktrace::model
