// SPDX-License-Identifier: Apache-2.0
// The fuzz targets under any compiler: the corpus, and seeded random mutations of it.
#include <gtest/gtest.h>

#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "tests/fuzz/recording/fuzz_recording.h"
#include "user/base/file.h"

namespace leaktrace::fuzz {
namespace {

std::vector<std::string> corpus() {
  std::vector<std::string> inputs;
  const std::filesystem::path folder = LEAKTRACE_SOURCE_DIR "/tests/testdata/recordings";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".lt") continue;
    auto content = read_file(entry.path());
    EXPECT_TRUE(content);
    if (content) inputs.push_back(std::move(*content));
  }
  return inputs;
}

void run(void (*entry)(const std::uint8_t*, std::size_t), const std::string& input) {
  // A copy of the exact size, so that a sanitizer sees a read beyond it.
  const std::vector<std::uint8_t> bytes(input.begin(), input.end());
  entry(bytes.data(), bytes.size());
}

std::string mutate(std::string input, const std::string& other, std::mt19937_64& random) {
  const auto below = [&random](std::size_t limit) {
    return limit == 0 ? 0 : static_cast<std::size_t>(random() % limit);
  };
  for (std::size_t changes = 1 + below(4); changes > 0; --changes) {
    const std::size_t at = below(input.size());
    if (input.empty()) break;
    switch (below(6)) {
      case 0:
        input[at] = static_cast<char>(input[at] ^ (1 << below(8)));
        break;
      case 1:
        input[at] = static_cast<char>(random());
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

TEST(FuzzCorpus, RecordingsAreRead) {
  const auto inputs = corpus();
  ASSERT_FALSE(inputs.empty());
  for (const std::string& input : inputs) run(fuzz_recording, input);
}

TEST(FuzzCorpus, MutatedRecordingsAreRead) {
  const auto inputs = corpus();
  ASSERT_FALSE(inputs.empty());
  std::mt19937_64 random(1);
  for (int i = 0; i < 10'000; ++i) {
    const std::string& input = inputs[random() % inputs.size()];
    run(fuzz_recording, mutate(input, inputs[random() % inputs.size()], random));
  }
}

TEST(FuzzCorpus, RandomCallsAgreeWithTheModel) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 200; ++i) {
    std::string input(400, '\0');
    for (char& byte : input) byte = static_cast<char>(random());
    run(fuzz_range_table, input);
  }
}

}  // namespace
}  // namespace leaktrace::fuzz
