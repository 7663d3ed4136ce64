// SPDX-License-Identifier: Apache-2.0
// The corpus and seeded mutations of it, under any compiler.
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "tests/fuzz/postgres/fuzz_postgres.h"

namespace leaktrace::fuzz {
namespace {

using Entry = void (*)(const std::uint8_t*, std::size_t);

std::vector<std::string> files(const std::string& folder) {
  std::vector<std::string> inputs;
  for (const auto& entry : std::filesystem::directory_iterator(LEAKTRACE_SOURCE_DIR + folder)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream file(entry.path(), std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return inputs;
}

void run(Entry entry, const std::string& input) {
  // A copy of the exact size, so that a sanitizer sees a read beyond it.
  const std::vector<std::uint8_t> bytes(input.begin(), input.end());
  entry(bytes.data(), bytes.size());
}

std::string mutate(std::string input, const std::string& other, std::mt19937_64& random) {
  const auto below = [&random](std::size_t limit) {
    return limit == 0 ? 0 : static_cast<std::size_t>(random() % limit);
  };
  for (std::size_t changes = 1 + below(4); changes > 0 && !input.empty(); --changes) {
    const std::size_t at = below(input.size());
    switch (below(6)) {
      case 0:
        input[at] = static_cast<char>(input[at] ^ (1 << below(8)));
        break;
      case 1:
        input[at] =
            "'\";()$\\/*-\n \xff"
            "E"[below(14)];
        break;
      case 2:
        input.erase(at, below(20));
        break;
      case 3:
        input.insert(at, 1 + below(20), static_cast<char>(random()));
        break;
      case 4:
        input.resize(at);
        break;
      default:
        input.insert(at, other, below(other.size()), below(200));
        break;
    }
  }
  return input;
}

/// Stops after some seconds, so that a sanitizer's build is no slower to test.
void run_mutated(Entry entry, const std::vector<std::string>& inputs, int most) {
  ASSERT_FALSE(inputs.empty());
  for (const std::string& input : inputs) run(entry, input);
  std::mt19937_64 random(1);
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  for (int i = 0; i < most && std::chrono::steady_clock::now() < until; ++i) {
    const std::string& input = inputs[random() % inputs.size()];
    run(entry, mutate(input, inputs[random() % inputs.size()], random));
  }
}

TEST(FuzzPostgres, SqlIsParsed) {
  run_mutated(fuzz_sql, files("/tests/fuzz/postgres/corpus/sql"), 20'000);
}

TEST(FuzzPostgres, LinesOfEventsArePlayed) {
  auto inputs = files("/tests/fuzz/postgres/corpus/sessions");
  for (auto& recording : files("/tests/testdata/postgres")) inputs.push_back(std::move(recording));
  run_mutated(fuzz_sessions, inputs, 3000);
}

TEST(FuzzPostgres, RandomEventsArePlayed) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 300; ++i) {
    std::string input(600, '\0');
    for (char& byte : input) byte = static_cast<char>(random());
    run(fuzz_events, input);
  }
}

}  // namespace
}  // namespace leaktrace::fuzz
