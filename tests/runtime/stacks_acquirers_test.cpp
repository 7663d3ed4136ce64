// SPDX-License-Identifier: Apache-2.0
//
// What a report shows on top of a stack when a program's function does not call malloc itself.
#include <gmock/gmock.h>

#include <algorithm>

#include "tests/runtime/leaktrace.h"
#include "tests/runtime/stack_expectations.h"

namespace leaktrace::runtime {
namespace {

using nlohmann::json;
using testing::IsEmpty;

constexpr std::uint64_t kTimes = 5;

/// Blocks that a function of testprogs/stacks/acquirers.cpp leaks in one call.
struct Acquirer {
  std::string function;
  std::vector<std::string> top;  ///< what stands above it, as a chain
  Amount each;
};

const std::vector<Acquirer> kAcquirers = {
    {"leak_new", {"operator new"}, {1, 200}},
    {"leak_new_array", {"operator new"}, {1, 3 * 200}},
    {"leak_new_aligned", {"operator new"}, {1, 256}},
    {"leak_new_nothrow", {"operator new", "operator new"}, {1, 200}},  // one calls the other
    {"leak_calloc", {}, {1, 33 * 9}},
    {"leak_realloc", {}, {1, 17 * 100}},
    {"leak_aligned_alloc", {}, {1, 4 * 512}},
    {"leak_posix_memalign", {}, {1, 777}},
    {"leak_strdup", {"strdup"}, {1, 22}},
    // The C library's functions are written over some of its own, and the C++ library's templates
    // are inlined over some of theirs.
    {"leak_asprintf", {"*", "asprintf"}, {1, 17}},
    {"leak_make_shared", {"operator new", "*", "make_shared<Widget>"}, {1, 216}},
    {"leak_map_nodes", {"operator new", "*", "?"}, {4, 4 * 240}},
};

TracedRun run_acquirers() {
  return run_traced({testprog("stacks/stacks_acquirers"), std::to_string(kTimes)});
}

class Acquirers : public RuntimeTest {};

TEST_F(Acquirers, StandOnTopOfTheirCaller) {
  const TracedRun traced = run_acquirers();
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  const Report report = traced.report();
  for (const Acquirer& acquirer : kAcquirers) {
    SCOPED_TRACE(acquirer.function);
    Chain chain = acquirer.top;
    chain.push_back(acquirer.function);
    chain = started_by_libc(std::move(chain));
    Amount found;
    for (const json& site : report.stacks_with(acquirer.function)) {
      if (!reads(Report::functions(site), chain)) continue;
      found += {site.at("outstanding").at("count"), site.at("outstanding").at("bytes")};
      EXPECT_EQ(site.at("stack_complete"), true);
    }
    EXPECT_EQ(found, (Amount{acquirer.each.count * kTimes, acquirer.each.bytes * kTimes}))
        << testing::PrintToString(chain);
  }
  EXPECT_THAT(harmful_losses(report), IsEmpty());
}

class Growth : public RuntimeTest {};

/// Of a string and a vector that grew, only the last block is left, whole and at the call that grew
/// it.
TEST_F(Growth, IsShownAtTheCallThatGrew) {
  const Report report = run_acquirers().report();
  for (const auto& [function, grows, least] :
       {std::tuple("leak_string_growth", "append", 21 * 100),
        std::tuple("leak_vector_growth", "push_back", 1000 * 8)}) {
    SCOPED_TRACE(function);
    std::vector<json> grown = report.stacks_with(function);
    std::erase_if(grown, [](const json& site) {
      const std::uint64_t bytes = site.at("outstanding").at("bytes");
      return bytes < kTimes * 1000;  // the string's and the vector's own objects
    });
    ASSERT_EQ(grown.size(), 1U);
    EXPECT_EQ(grown[0].at("outstanding").at("count"), kTimes);
    EXPECT_GE(grown[0].at("outstanding").at("bytes"), kTimes * static_cast<std::uint64_t>(least));
    const std::vector<std::string> names = Report::functions(grown[0]);
    EXPECT_TRUE(is_function(names[0], "operator new")) << names[0];
    EXPECT_EQ(
        std::count_if(names.begin(), names.end(),
                      [](const std::string& name) { return is_function(name, "operator new"); }),
        1);
    EXPECT_TRUE(std::any_of(names.begin(), names.end(), [&, call = grows](const std::string& name) {
      return is_function(name, call);
    })) << testing::PrintToString(names);
  }
}

/// getline's buffer is taken in the C library, at the line that asked for it.
TEST_F(Growth, OfAFilesLineIsShownAtItsReader) {
  const Report report = run_acquirers().report();
  const auto sites = report.stacks_with("leak_getline");
  ASSERT_EQ(sites.size(), 1U);
  EXPECT_EQ(sites[0].at("outstanding").at("count"), kTimes);
  const std::vector<std::string> names = Report::functions(sites[0]);
  EXPECT_TRUE(reads(names, started_by_libc({"*", "leak_getline"})));
  EXPECT_TRUE(std::any_of(names.begin(), names.end(), [](const std::string& name) {
    return is_function(name, "getdelim") || is_function(name, "getline");
  })) << testing::PrintToString(names);
}

}  // namespace
}  // namespace leaktrace::runtime
