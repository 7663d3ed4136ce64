// SPDX-License-Identifier: Apache-2.0
//
// Is exact_mix's own truth right? The kernel's list of mappings is held against it by the program
// itself (exit status 3); what it says of the heap is held against valgrind here.
#include <gmock/gmock.h>

#include <filesystem>
#include <regex>

#include "tests/runtime/leaktrace.h"

namespace leaktrace::runtime {
namespace {

using nlohmann::json;

/// Leaks by the innermost function whose name begins with site_, from valgrind's XML.
std::map<std::string, Amount> leaks_of_valgrind(const std::string& xml) {
  std::map<std::string, Amount> leaks;
  static const std::regex kBytes("<leakedbytes>(\\d+)</leakedbytes>");
  static const std::regex kBlocks("<leakedblocks>(\\d+)</leakedblocks>");
  static const std::regex kSite("<fn>(site_\\w+)</fn>");
  constexpr std::string_view kOpen = "<error>";
  constexpr std::string_view kClose = "</error>";
  for (std::size_t at = xml.find(kOpen); at != std::string::npos; at = xml.find(kOpen, at + 1)) {
    const std::string error = xml.substr(at, xml.find(kClose, at) - at);
    std::smatch bytes, blocks, site;
    if (!std::regex_search(error, bytes, kBytes) || !std::regex_search(error, blocks, kBlocks) ||
        !std::regex_search(error, site, kSite)) {
      continue;
    }
    leaks[site[1]] += {std::stoull(blocks[1]), std::stoull(bytes[1])};
  }
  return leaks;
}

TEST(Truth, AgreesWithTheKernelOfMappings) {
  TempDir dir;
  for (const char* seed : {"1", "2", "3"}) {
    const Outcome mix = run_command(
        {testprog("exact_mix"), "--seed", seed, "--operations", "1000000", dir.file("truth.json")});
    EXPECT_EQ(mix.status, 0) << "seed " << seed;
  }
}

TEST(Truth, AgreesWithValgrindOnTheHeap) {
  if (!std::filesystem::exists("/usr/bin/valgrind")) GTEST_SKIP() << "valgrind is not installed";
  TempDir dir;
  const Outcome mix =
      run_command({"/usr/bin/valgrind", "-q", "--leak-check=full", "--show-leak-kinds=all",
                   "--leak-resolution=high", "--show-mismatched-frees=no", "--num-callers=20",
                   "--xml=yes", "--xml-file=" + dir.file("leaks.xml"), testprog("exact_mix"),
                   "--for-valgrind", "--operations", "200000", dir.file("truth.json")});
  ASSERT_EQ(mix.status, 0) << mix.err;
  auto leaks = leaks_of_valgrind(read_whole(dir.file("leaks.xml")));
  const json truth = json::parse(read_whole(dir.file("truth.json")));
  for (const json& site : truth.at("sites")) {
    if (site.at("kind") != "heap") continue;
    const Amount said = {site.at("outstanding").at("count"), site.at("outstanding").at("bytes")};
    EXPECT_EQ(leaks[site.at("function")], said) << site.at("function");
  }
}

/// The same seed asks for the same blocks. (What can be mapped, and grown in place, depends on
/// where the kernel puts things.)
TEST(Truth, IsTheSameForTheSameSeedOnOneThread) {
  TempDir dir;
  json sites[2];
  for (json& site : sites) {
    const std::string path = dir.file("truth.json");
    ASSERT_EQ(run_command({testprog("exact_mix"), "--threads", "1", "--operations", "100000", path})
                  .status,
              0);
    site = json::parse(read_whole(path)).at("sites");
    std::erase_if(site.get_ref<json::array_t&>(),
                  [](const json& s) { return s.at("kind") != "heap"; });
  }
  EXPECT_EQ(sites[0], sites[1]);
  EXPECT_GT(sites[0].size(), 20U);
}

}  // namespace
}  // namespace leaktrace::runtime
