// SPDX-License-Identifier: Apache-2.0
//
// stacks_bench [--quick] [SUBJECT...]: nanoseconds inside BPF (bpf_stats) for one stack, by unwind
// information and by bpf_get_stack, at the same returns of the same functions in the same run:
// recursion to given depths, real programs, Python frames. The programs take turns, a short time
// each; what all have in common (the statistics themselves, finding the thread's memory) is
// measured by one that takes no stack, and subtracted. For what does the same all the time the best
// turn counts: what else runs on the machine only adds. Needs root.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <initializer_list>
#include <set>
#include <span>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/bench/stacks/cost_probe.h"
#include "tests/bench/stacks/subjects.h"

namespace leaktrace::bench {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kTurn{60};
constexpr milliseconds kStart{150};  // for a process to map its libraries
constexpr milliseconds kPreparation{60'000};
constexpr uint64_t kFewest = 50;  // runs that a turn counts with

/// What was measured of one subject.
struct Measured {
  std::array<Cost, COST_PROGRAMS> cost{};
  std::array<uint64_t, PARTS> parts{};
  Cost counted{};  ///< what parts belong to

  [[nodiscard]] double of(cost_program program) const {
    return cost.at(program).per_run() - cost.at(COST_NOTHING).per_run();
  }
  [[nodiscard]] double part(unwind_part which, uint64_t of_what) const {
    return of_what == 0 ? 0 : static_cast<double>(parts.at(which)) / static_cast<double>(of_what);
  }
};

class Bench {
 public:
  explicit Bench(CostProbe& probe) : probe_(probe) {}

  Measured measure(const Subject& subject, std::initializer_list<cost_program> programs) {
    const Running running(subject);
    Measured measured;
    if (!is_begun(running)) return measured;
    const auto end = Clock::now() + std::chrono::duration<double>(subject.seconds);
    while (Clock::now() < end) {
      for (const cost_program program : programs) {
        const Cost cost = turn(subject, running, program);
        Cost& kept = measured.cost.at(program);
        if (!subject.steady) {
          kept += cost;
        } else if (cost.runs >= kFewest && (kept.runs == 0 || cost.per_run() < kept.per_run())) {
          kept = cost;
        }
      }
    }
    count_parts(subject, running, measured);
    return measured;
  }

 private:
  Cost turn(const Subject& subject, const Running& running, cost_program program) {
    if (!is_ready(running)) return {};
    if (!probe_.attach(program, current_, subject.file, subject.function)) return {};
    if (program != COST_NOTHING) std::this_thread::sleep_for(kTurn / 4);  // into the caches
    const Cost before = probe_.cost(program);
    std::this_thread::sleep_for(kTurn);
    const Cost after = probe_.cost(program);
    probe_.detach();
    return after - before;
  }

  /// Some programs have their input made first.
  bool is_begun(const Running& running) {
    current_ = -1;
    const auto limit = Clock::now() + kPreparation;
    while (Clock::now() < limit) {
      if (is_ready(running)) return true;
    }
    return false;
  }

  /// A process to measure, its mappings known: the last one while it lives.
  bool is_ready(const Running& running) {
    for (int tries = 0; tries < 100; ++tries) {
      if (current_ > 0 && probe_.follow(current_)) return true;
      current_ = running.process().value_or(-1);
      std::this_thread::sleep_for(current_ > 0 ? kStart : milliseconds(5));
    }
    return false;
  }

  void count_parts(const Subject& subject, const Running& running, Measured& measured) {
    const auto before = probe_.parts();
    const Cost cost = probe_.cost(COST_COUNTED);
    for (int i = 0; i < (subject.steady ? 1 : 8); ++i) turn(subject, running, COST_COUNTED);
    measured.counted = probe_.cost(COST_COUNTED) - cost;
    measured.parts = probe_.parts();
    for (size_t i = 0; i < PARTS; ++i) measured.parts.at(i) -= before.at(i);
  }

  CostProbe& probe_;
  pid_t current_ = -1;
};

void print_header() {
  fmt::print("{:<16} {:>7} {:>7} {:>8} {:>7} {:>8} {:>7} {:>7} {:>7} {:>8} {:>7} {:>7} {:>7}\n", "",
             "frames", "cut %", "ns", "a frame", "cold ns", "a frame", "kernel", "frames", "ratio",
             "hits %", "windows", "rules");
}

void print(const Subject& subject, const Measured& measured) {
  const Cost& unwound = measured.cost[COST_UNWIND];
  const Cost& kernel = measured.cost[COST_KERNEL];
  const double frames = unwound.frames();
  const uint64_t stacks = measured.counted.found.stacks;
  const double kernel_ns = measured.of(COST_KERNEL);
  fmt::print(
      "{:<16} {:>7.1f} {:>7.3f} {:>8.0f} {:>7.1f} {:>8.0f} {:>7.1f} {:>7.0f} {:>7.1f} {:>8.2f} "
      "{:>7.2f} {:>7.2f} {:>7.2f}\n",
      subject.name, frames,
      100.0 * static_cast<double>(unwound.found.cut) /
          static_cast<double>(std::max<uint64_t>(1, unwound.found.stacks)),
      measured.of(COST_UNWIND), measured.of(COST_UNWIND) / frames, measured.of(COST_COLD),
      measured.of(COST_COLD) / measured.cost[COST_COLD].frames(), kernel_ns, kernel.frames(),
      measured.of(COST_UNWIND) / kernel_ns,
      100.0 * (1 - measured.part(PART_SEARCH, measured.counted.found.frames)),
      measured.part(PART_WINDOW, stacks), measured.part(PART_RULE, stacks));
  std::fflush(stdout);
}

void measure_stacks(Bench& bench, const std::vector<Subject>& subjects) {
  print_header();
  for (const Subject& subject : subjects) {
    const Measured measured =
        bench.measure(subject, {COST_NOTHING, COST_KERNEL, COST_UNWIND, COST_COLD});
    if (measured.cost[COST_UNWIND].found.frames == 0) {
      fmt::print("{:<16} was never seen at work\n", subject.name);
    } else {
      print(subject, measured);
    }
  }
}

void measure_python(Bench& bench, const std::vector<Subject>& subjects) {
  fmt::print("\n{:<16} {:>7} {:>7} {:>9} {:>9} {:>9} {:>9}\n", "", "frames", "Python", "native ns",
             "joined ns", "more", "a frame");
  for (const Subject& subject : subjects) {
    const Measured measured = bench.measure(subject, {COST_NOTHING, COST_UNWIND, COST_PYTHON});
    const Cost& joined = measured.cost[COST_PYTHON];
    const double more = measured.of(COST_PYTHON) - measured.of(COST_UNWIND);
    fmt::print("{:<16} {:>7.1f} {:>7.1f} {:>9.0f} {:>9.0f} {:>9.0f} {:>9.1f}\n", subject.name,
               joined.frames(), joined.python_frames(), measured.of(COST_UNWIND),
               measured.of(COST_PYTHON), more,
               joined.found.python_frames == 0 ? 0 : more / joined.python_frames());
    std::fflush(stdout);
  }
}

std::vector<Subject> native_subjects() {
  std::vector<Subject> subjects;
  for (const int depth : {5, 10, 20, 40, 80, 120}) subjects.push_back(recursion(depth));
  for (const int depth : {10, 40}) subjects.push_back(recursion(depth, 4U << 20));
  for (Subject& subject : real_programs()) subjects.push_back(std::move(subject));
  return subjects;
}

/// The first: what a process pays that runs no Python.
std::vector<Subject> python_subjects() {
  std::vector<Subject> subjects = {recursion(10)};
  for (const int depth : {2, 5, 20, 50}) subjects.push_back(python_script(depth));
  return subjects;
}

int run(std::span<char*> arguments) {
  auto probe = CostProbe::load();
  if (!probe) {
    fmt::print(stderr, "{}\n", probe.error().message());
    return 1;
  }
  double share = 1;
  std::set<std::string_view> wanted(arguments.begin(), arguments.end());
  if (wanted.erase("--quick") > 0) share = 0.3;
  const auto chosen = [&](std::vector<Subject> subjects) {
    if (!wanted.empty()) {
      std::erase_if(subjects,
                    [&](const Subject& subject) { return !wanted.contains(subject.name); });
    }
    for (Subject& subject : subjects) subject.seconds *= share;
    return subjects;
  };
  Bench bench(**probe);
  measure_stacks(bench, chosen(native_subjects()));
  measure_python(bench, chosen(python_subjects()));
  return 0;
}

}  // namespace
}  // namespace leaktrace::bench

int main(int argc, char** argv) {
  return leaktrace::bench::run(std::span(argv, static_cast<size_t>(argc)).subspan(1));
}
