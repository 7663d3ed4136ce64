// SPDX-License-Identifier: Apache-2.0
//
// The labelled set: call sites that leak and that do not, as pure series. A pattern and a seed give
// one series, the same on every machine. Even seeds are for tuning, odd ones for reporting.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tests/series/random.h"
#include "user/model/history.h"

namespace leaktrace::series {

/// The call site that a pattern plays, and how it is watched.
class Site {
 public:
  explicit Site(std::uint64_t seed) : random(seed) {}

  void acquire(std::uint64_t count, std::uint64_t bytes_each) { add(count, count * bytes_each); }
  void add(std::uint64_t count, std::uint64_t bytes);
  /// Of what is outstanding, so many blocks of such a size; no more than there is.
  void release(std::uint64_t count, std::uint64_t bytes_each) { drop(count, count * bytes_each); }
  void drop(std::uint64_t count, std::uint64_t bytes);
  /// Acquires or releases blocks of a size until so many are outstanding; `turnover` more are
  /// acquired and released.
  void become(std::uint64_t count, std::uint64_t bytes_each, std::uint64_t turnover = 0);

  [[nodiscard]] std::uint64_t count() const { return acquired_count - released_count; }
  [[nodiscard]] std::uint64_t bytes() const { return acquired_bytes - released_bytes; }

  Random random;
  std::uint64_t acquired_count = 0, acquired_bytes = 0;
  std::uint64_t released_count = 0, released_bytes = 0;
  double work = 0;          ///< of the whole process
  double work_rate = 1000;  ///< a second; a pattern with a load sets it in each step
  double count_variance = 0, bytes_variance = 0;
  double observed = 1;
  double skip = 0;         ///< set by a step: seconds that the machine is now suspended
  std::uint64_t kept = 0;  ///< blocks that the pattern leaked so far: for its own use
};

/// One step of the play: from `t` to `t + dt` seconds. State of its own is in the closure.
using Step = std::function<void(Site& site, double t, double dt)>;

struct Pattern {
  std::string name;
  bool leaks = false;
  double seconds = 0;   ///< how long it is to be watched for a verdict
  double interval = 1;  ///< seconds from reading to reading
  /// Makes the play for one seed; may draw parameters from site.random.
  std::function<Step(Site& site, double seconds)> make;
};

/// All patterns.
[[nodiscard]] std::vector<Pattern> patterns();
[[nodiscard]] std::vector<Pattern> leaks();
[[nodiscard]] std::vector<Pattern> not_leaks();

/// A steady leak of so many bytes a second.
[[nodiscard]] Pattern steady_leak(double bytes_per_second, double seconds);

/// One play of a pattern, step by step; the pattern must outlive it.
class Play {
 public:
  Play(const Pattern& pattern, std::uint64_t seed);

  /// How many steps there are until the pattern has been watched for its time.
  [[nodiscard]] std::uint64_t steps() const { return steps_; }
  void step();
  [[nodiscard]] const Site& site() const { return site_; }
  /// Time of the process, with that in which it was suspended.
  [[nodiscard]] double now() const { return now_; }

 private:
  const Pattern& pattern_;
  Site site_;
  Step step_;
  std::uint64_t steps_;
  std::uint64_t done_ = 0;
  double now_ = 1;
};

/// The readings of a pattern's site. Readings without a change are left out, as Snapshot does.
struct Series {
  std::vector<model::Reading> readings;
  std::uint64_t end_ns = 0;    ///< of the last reading of the process
  double work = 0;             ///< done by then
  std::uint64_t since_ns = 0;  ///< no outstanding block is older
};
/// `share`: how much of the time is played before one looks.
[[nodiscard]] Series play(const Pattern& pattern, std::uint64_t seed, double share = 1);

}  // namespace leaktrace::series
