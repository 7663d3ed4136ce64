// SPDX-License-Identifier: Apache-2.0
//
// The labelled set (tests/series) with real blocks: one process a pattern, in which play_blocks()
// acquires and releases so that what is outstanding follows the pattern, and do_work() allocates as
// the load of the process goes.
//
//   growth_patterns SECONDS SEED [PATTERN…]
//
// Says "pattern PID leaks|keeps NAME" of each and "ready PID"; begins at SIGUSR1, plays the whole
// of each pattern in SECONDS, says "done PID" and waits for SIGTERM. Amounts are scaled down to
// what a machine has: the shape is the pattern's.
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "tests/series/patterns.h"
#include "tests/testprogs/testprog.h"

namespace {

using leaktrace::series::Pattern;
using leaktrace::series::Play;

constexpr double kMostBytes = 256e6;  // outstanding, of a pattern; the pages are not touched
constexpr double kMostBlocks = 5'000;
constexpr double kMostWork = 30'000;   // what a site acquires is little beside it
constexpr std::uint64_t kTicks = 600;  // SECONDS are as many

struct Scale {
  double bytes = 1;
  double count = 1;
  double work = 1;
};

// Patterns that play an estimate (what sampling would have seen) are no blocks.
bool is_of_blocks(const Pattern& pattern, std::uint64_t seed) {
  Play play(pattern, seed);
  for (int i = 0; i < 3; ++i) play.step();
  return play.site().count_variance == 0 && play.site().bytes_variance == 0 &&
         play.site().observed == 1;
}

Scale measure(const Pattern& pattern, std::uint64_t seed) {
  Play play(pattern, seed);
  double bytes = 0;
  for (std::uint64_t i = 0; i < play.steps(); ++i) {
    play.step();
    bytes = std::max(bytes, static_cast<double>(play.site().bytes()));
  }
  const auto down = [](double amount, double most) { return std::min(1.0, most / (amount + 1)); };
  return {down(bytes, kMostBytes),
          down(static_cast<double>(play.site().acquired_count), kMostBlocks),
          down(play.site().work, kMostWork)};
}

std::uint64_t scaled(std::uint64_t amount, double scale) {
  // What is there at all stays there.
  return static_cast<std::uint64_t>(std::ceil(static_cast<double>(amount) * scale));
}

// The blocks of a site. Only add() acquires, so that all have one call stack.
class Blocks {
 public:
  void become(std::uint64_t count, std::uint64_t bytes, std::uint64_t acquired) {
    const std::uint64_t net = count > blocks_.size() ? count - blocks_.size() : 0;
    for (std::uint64_t i = acquired_ + net; i < acquired; ++i) {
      add(count > 0 ? bytes / count : 0);
      drop();
    }
    acquired_ = acquired;
    while (blocks_.size() > count) drop();
    while (bytes_ > bytes && !blocks_.empty()) drop();
    std::uint64_t size = bytes - std::min(bytes, bytes_);
    if (size > 0 && blocks_.size() == count && count > 0) {  // the newest one grows
      size += blocks_.back().size;
      drop();
    }
    while (blocks_.size() < count) {
      const std::uint64_t part = size / (count - blocks_.size());
      add(part);
      size -= part;
    }
  }

 private:
  struct Block {
    void* pointer;
    std::uint64_t size;
  };

  SITE void add(std::uint64_t size) {
    blocks_.push_back({malloc(size), size});
    bytes_ += size;
  }
  void drop() {
    free(blocks_.back().pointer);
    bytes_ -= blocks_.back().size;
    blocks_.pop_back();
  }

  std::vector<Block> blocks_ = [] {
    std::vector<Block> room;
    room.reserve(2 * static_cast<std::size_t>(kMostBlocks));
    return room;
  }();
  std::uint64_t bytes_ = 0;
  std::uint64_t acquired_ = 0;
};

SITE void do_work(std::uint64_t units) {
  for (std::uint64_t i = 0; i < units; ++i) free(malloc(32));
}

SITE void play_blocks(Blocks& blocks, const leaktrace::series::Site& site, const Scale& scale) {
  const std::uint64_t count = scaled(site.count(), scale.count);
  blocks.become(count, count > 0 ? scaled(site.bytes(), scale.bytes) : 0,
                scaled(site.acquired_count, scale.count));
}

void wait_for_tick(const timespec& began, double seconds) {
  const double at =
      static_cast<double>(began.tv_sec) + static_cast<double>(began.tv_nsec) / 1e9 + seconds;
  const double whole = std::floor(at);
  const timespec until = {static_cast<time_t>(whole), static_cast<long>((at - whole) * 1e9)};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) != 0) {
  }
}

void perform(const Pattern& pattern, std::uint64_t seed, double seconds) {
  const Scale scale = measure(pattern, seed);
  Play play(pattern, seed);
  Blocks blocks;
  double worked = 0;
  std::uint64_t done = 0;
  await_signal(SIGUSR1);
  timespec began{};
  clock_gettime(CLOCK_MONOTONIC, &began);
  for (std::uint64_t tick = 1; tick <= kTicks; ++tick) {
    wait_for_tick(began, seconds * static_cast<double>(tick) / kTicks);
    while (done * kTicks < play.steps() * tick) {
      play.step();
      ++done;
      play_blocks(blocks, play.site(), scale);
    }
    const double work = std::floor(play.site().work * scale.work);
    do_work(static_cast<std::uint64_t>(work - worked));
    worked = work;
  }
  await_signal(SIGTERM);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const double seconds = std::stod(argv[1]);
  const std::uint64_t seed = std::stoull(argv[2]);
  const std::vector<std::string> names(argv + 3, argv + argc);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigaddset(&set, SIGTERM);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  std::vector<pid_t> children;
  for (const Pattern& pattern : leaktrace::series::patterns()) {
    const bool wanted = names.empty() || std::ranges::find(names, pattern.name) != names.end();
    if (!wanted || !is_of_blocks(pattern, seed)) continue;
    const pid_t child = fork();
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      perform(pattern, seed, seconds);
      _exit(0);
    }
    children.push_back(child);
    const std::string said = "pattern " + std::to_string(child) +
                             (pattern.leaks ? " leaks " : " keeps ") + pattern.name + "\n";
    say(said.data(), said.size());
  }
  say_pid("ready");
  await_signal(SIGUSR1);
  for (const pid_t child : children) kill(child, SIGUSR1);
  timespec rest = {static_cast<time_t>(seconds) + 1, 0};
  nanosleep(&rest, nullptr);
  say_pid("done");
  await_signal(SIGTERM);
  for (const pid_t child : children) kill(child, SIGTERM);
  while (wait(nullptr) > 0) {
  }
  return 0;
}
