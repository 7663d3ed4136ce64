// SPDX-License-Identifier: Apache-2.0
//
// How right the verdicts are, how soon, and what they cost. Prints tables; with `--json FILE` the
// same as JSON. Needs no privileges.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/series/patterns.h"
#include "tests/series/scoring.h"
#include "user/analyze/verdict.h"
#include "user/model/history.h"

namespace leaktrace::bench {
namespace {

/// Processor time of this process, which other work on the machine does not blur.
double cpu_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// The members of one JSON object; names and texts here need no escapes.
class Json {
 public:
  void put(std::string_view name, const std::string& value) {
    text_ += fmt::format("{}\"{}\": {}", text_.empty() ? "" : ",\n ", name, value);
  }
  void put(std::string_view name, double value) { put(name, fmt::format("{}", value)); }
  [[nodiscard]] std::string text() const { return "{" + text_ + "}"; }

 private:
  std::string text_;
};

std::string shown(const series::Share& share) {
  return fmt::format("{:.4f} [{:.4f}, {:.4f}]", share.value, share.low, share.high);
}

std::string json(const series::Share& share) {
  return fmt::format("[{}, {}, {}]", share.value, share.low, share.high);
}

void labelled_set(Json& out) {
  const auto scores = series::score(series::kReporting);
  fmt::print(
      "The labelled set, odd seeds. Share that is called growing, with its 95 % interval:\n");
  std::vector<std::string> rows;
  for (const series::Score& score : scores) {
    const series::Share share = series::wilson(score.growing, score.runs);
    std::string verdicts;
    for (const auto& [verdict, runs] : score.verdicts) {
      verdicts += fmt::format(" {} {}", verdict, runs);
    }
    fmt::print("  {} {:32} {:.2f} [{:.2f}, {:.2f}] {}\n", score.leaks ? "leak" : "    ",
               score.pattern, share.value, share.low, share.high, verdicts);
    if (!score.wrong.empty()) fmt::print("         {}\n", score.wrong);
    rows.push_back(fmt::format(R"({{"pattern": "{}", "leaks": {}, "runs": {}, "growing": {}}})",
                               score.pattern, score.leaks, score.runs, score.growing));
  }
  const series::Total sum = series::total(scores);
  fmt::print("  precision {}, recall {}\n", shown(sum.precision()), shown(sum.recall()));
  out.put("patterns", fmt::format("[{}]", fmt::join(rows, ",\n  ")));
  out.put("precision", json(sum.precision()));
  out.put("recall", json(sum.recall()));
  for (const double share : {0.25, 0.5, 0.75}) {
    const series::Total early = series::total(series::score(series::kReporting, share));
    fmt::print("  asked after {:.0f} % of the time: precision {}, recall {}\n", 100 * share,
               shown(early.precision()), shown(early.recall()));
    out.put(fmt::format("precision_after_{:.0f}_percent", 100 * share), json(early.precision()));
    out.put(fmt::format("recall_after_{:.0f}_percent", 100 * share), json(early.recall()));
  }
}

/// Sites of patterns that do not leak, which a leak is to be found among.
class Haystack {
 public:
  explicit Haystack(std::size_t size) : histories_(size) {
    const auto kinds = series::not_leaks();
    for (std::size_t i = 0; i < size; ++i) {
      const auto& pattern = kinds[i % kinds.size()];
      inputs_.push_back(series::read(series::play(pattern, 1001 + i), histories_[i]));
    }
  }

  struct Answer {
    bool found = false;
    std::size_t accused = 0;
  };
  [[nodiscard]] Answer judge_with(const analyze::VerdictInput& leak) {
    inputs_.push_back(leak);
    const auto verdicts = analyze::judge(inputs_);
    inputs_.pop_back();
    Answer answer;
    answer.found = verdicts.back().verdict == analyze::Verdict::growing;
    for (const auto& verdict : verdicts) {
      answer.accused += verdict.verdict == analyze::Verdict::growing ? 1 : 0;
    }
    answer.accused -= answer.found ? 1 : 0;
    return answer;
  }

 private:
  std::vector<model::History> histories_;
  std::vector<analyze::VerdictInput> inputs_;
};

void one_leak_in_many(Json& out) {
  constexpr std::size_t kSites = 1000;
  Haystack haystack(kSites);
  std::uint64_t found = 0, runs = 0;
  double accused = 0;
  fmt::print("\nA single leak among {} sites that do not leak, found in:\n", kSites);
  for (const series::Pattern& pattern : series::leaks()) {
    std::uint64_t here = 0;
    for (std::uint64_t seed = 1; seed < 20; seed += 2) {
      model::History history;
      const auto answer = haystack.judge_with(series::read(series::play(pattern, seed), history));
      here += answer.found ? 1 : 0;
      accused += static_cast<double>(answer.accused);
      ++runs;
    }
    if (here < 10) fmt::print("  {:32} {} of 10\n", pattern.name, here);
    found += here;
  }
  const series::Share share = series::wilson(found, runs);
  fmt::print("  all {}; {:.2f} of the {} accused each time\n", shown(share),
             accused / static_cast<double>(runs), kSites);
  out.put("recall_alone_among_1000", json(share));
  out.put("accused_of_1000", accused / static_cast<double>(runs));
}

/// Seconds from the beginning of a leak until it is called growing, asked at each reading.
std::optional<double> time_to_verdict(double rate, std::uint64_t seed, double lead) {
  const series::Pattern leak = series::steady_leak(rate, 3600);
  const series::Series played = series::play(leak, seed);
  model::History history;
  const auto lead_ns = static_cast<std::uint64_t>(lead * 1e9);
  if (lead > 0) history.add({.at_ns = 1, .count = 100, .bytes = 10000, .acquired_count = 100});
  for (model::Reading reading : played.readings) {
    reading.at_ns += lead_ns;
    if (reading.previous_ns > 0 || lead > 0) reading.previous_ns = reading.at_ns - 1'000'000'000;
    if (lead > 0) {
      reading.count += 100;
      reading.bytes += 10000;
      reading.acquired_count += 100;
    }
    history.add(reading);
    const analyze::VerdictInput input{&history, reading.at_ns, 0, reading.work};
    if (analyze::judge({&input, 1}).front().verdict == analyze::Verdict::growing) {
      return static_cast<double>(reading.at_ns - lead_ns) / 1e9 - 1;
    }
  }
  return std::nullopt;
}

void time_over_rates(Json& out) {
  fmt::print(
      "\nSeconds from the start of a steady leak to the verdict (readings each second), "
      "median and worst of 15:\n");
  std::vector<std::string> rows;
  for (const double lead : {0.0, 600.0, 86400.0}) {
    fmt::print("  after {:.0f} s without a leak:\n", lead);
    for (const double rate : {10.0, 100.0, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8}) {
      std::vector<double> times;
      for (std::uint64_t seed = 1; seed < 30; seed += 2) {
        times.push_back(time_to_verdict(rate, seed, lead).value_or(1e9));
      }
      std::ranges::sort(times);
      fmt::print("    {:>11.0f} B/s  {:7.0f} {:7.0f}\n", rate, times[times.size() / 2],
                 times.back());
      rows.push_back(fmt::format(
          R"({{"lead_seconds": {}, "bytes_per_second": {}, "median": {}, "worst": {}}})", lead,
          rate, times[times.size() / 2], times.back()));
    }
  }
  out.put("time_to_verdict", fmt::format("[{}]", fmt::join(rows, ",\n  ")));
}

void cost(Json& out) {
  constexpr std::size_t kSites = 50'000;
  constexpr std::uint64_t kReadings = 1'000;
  std::vector<model::History> histories(kSites);
  const auto kinds = series::patterns();
  std::vector<analyze::VerdictInput> inputs;
  double feeding = 0;
  std::uint64_t readings = 0;
  std::vector<series::Series> played;
  for (series::Pattern pattern : kinds) {
    pattern.seconds = static_cast<double>(kReadings) * pattern.interval;
    played.push_back(series::play(pattern, 1));
  }
  for (std::size_t i = 0; i < kSites; ++i) {
    const series::Series& one = played[i % played.size()];
    const double start = cpu_seconds();
    inputs.push_back(series::read(one, histories[i]));
    feeding += cpu_seconds() - start;
    readings += one.readings.size();
  }
  double best = 1e9;
  for (int round = 0; round < 3; ++round) {
    const double start = cpu_seconds();
    const auto verdicts = analyze::judge(inputs);
    best = std::min(best, cpu_seconds() - start);
    if (verdicts.size() != kSites) return;
  }
  std::size_t most = 0, sum = 0;
  for (const model::History& history : histories) {
    most = std::max(most, history.memory());
    sum += history.memory();
  }
  const double nanoseconds = feeding / static_cast<double>(readings) * 1e9;
  fmt::print(
      "\n{} sites x {} intervals: judged in {:.3f} s of one CPU, {:.0f} ns a reading, "
      "{} B a site at most, {} on average\n",
      kSites, kReadings, best, nanoseconds, most, sum / kSites);
  out.put("judge_50000_sites_seconds", best);
  out.put("nanoseconds_per_reading", nanoseconds);
  out.put("most_bytes_per_site", static_cast<double>(most));
}

int run(int argc, char** argv) {
  Json out;
  cost(out);
  labelled_set(out);
  one_leak_in_many(out);
  time_over_rates(out);
  if (argc != 3 || std::string_view(argv[1]) != "--json") return 0;
  std::FILE* file = std::fopen(argv[2], "w");
  if (file == nullptr) {
    fmt::print(stderr, "verdict_bench: cannot write {}\n", argv[2]);
    return 1;
  }
  fmt::print(file, "{}\n", out.text());
  return std::fclose(file) == 0 ? 0 : 1;
}

}  // namespace
}  // namespace leaktrace::bench

int main(int argc, char** argv) {
  return leaktrace::bench::run(argc, argv);
}
