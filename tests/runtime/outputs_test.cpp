// SPDX-License-Identifier: Apache-2.0
//
// Every output of one trace says the same, and a recording says what a live report said.
#include <gmock/gmock.h>

#include <filesystem>
#include <regex>
#include <sstream>

#include "tests/runtime/leaktrace.h"

namespace leaktrace::runtime {
namespace {

using testing::HasSubstr;

class Outputs : public RuntimeTest {
 protected:
  /// Records a command into a file of this test.
  std::string record(const std::vector<std::string>& command,
                     const std::vector<std::string>& options = {}) {
    const std::string path = dir_.file("recording");
    std::vector<std::string> arguments = {"record"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    arguments.emplace_back("-o");
    arguments.push_back(path);
    arguments.emplace_back("--");
    arguments.insert(arguments.end(), command.begin(), command.end());
    const Outcome outcome = run_leaktrace(arguments);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return path;
  }

  static std::string replay(const std::string& path, const std::string& format,
                            const std::vector<std::string>& options = {}) {
    std::vector<std::string> arguments = {"report", path, "--format", format, "--top", "100000"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    const Outcome outcome = run_leaktrace(arguments);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return outcome.out;
  }
};

/// Sum of the weights at the ends of folded lines; each line must be frames and a number.
std::uint64_t folded_total(const std::string& text) {
  std::uint64_t total = 0;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t blank = line.rfind(' ');
    EXPECT_NE(blank, std::string::npos) << line;
    EXPECT_NE(line.find(';'), std::string::npos) << line;
    total += std::stoull(line.substr(blank + 1));
  }
  return total;
}

std::uint64_t attribute(const std::string& svg, const std::string& name) {
  std::smatch found;
  const std::regex pattern(name + "=\"(\\d+)\"");
  return std::regex_search(svg, found, pattern) ? std::stoull(found[1]) : 0;
}

TEST_F(Outputs, OfOneRecordingAgree) {
  const std::string path = record({testprog("leak_longjmp")});
  const Report report(replay(path, "json"));
  const Amount all = report.outstanding_at_all();
  EXPECT_EQ(report.outstanding("hold_for_jump"), (Amount{1600, 76800}));
  EXPECT_GE(all.bytes, 76800U + 128000U + 22400U);

  EXPECT_EQ(folded_total(replay(path, "folded")), all.bytes);

  const std::string svg = replay(path, "svg");
  EXPECT_THAT(svg, HasSubstr("<svg"));
  EXPECT_THAT(svg, HasSubstr("hold_for_jump"));
  EXPECT_EQ(attribute(svg, "data-bytes"), all.bytes);
  EXPECT_EQ(attribute(svg, "data-count"), all.count);

  const std::string text = replay(path, "text");
  EXPECT_THAT(text, HasSubstr("outstanding in " + std::to_string(all.count) + " resources at " +
                              std::to_string(report.json().at("sites").size()) + " call sites"));
  for (const char* function : {"hold_for_jump", "hold_for_throw", "hold_after"}) {
    EXPECT_THAT(text, HasSubstr(function));
  }
}

TEST_F(Outputs, TheFlameGraphIsWellFormedXml) {
  const std::string path = record({testprog("leak_longjmp")});
  write_whole(dir_.file("flame.svg"), replay(path, "svg"));
  const Outcome parsed = run_command(
      {"/usr/bin/python3", "-c", "import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])",
       dir_.file("flame.svg")});
  EXPECT_EQ(parsed.status, 0) << parsed.err;
}

TEST_F(Outputs, TopCutsTheListNotTheTotals) {
  const std::string path = record({testprog("many_stacks"), "100"});
  const Report whole(replay(path, "json"));
  const Outcome cut = run_leaktrace({"report", path, "--format", "json", "--top", "5"});
  const Report top(cut.out);
  EXPECT_EQ(top.json().at("sites").size(), 5U);
  EXPECT_EQ(top.json().at("all"), whole.json().at("all"));
  EXPECT_EQ(whole.json().at("all").at("outstanding").at("bytes"), whole.outstanding_at_all().bytes);
}

TEST_F(Outputs, ARecordingSaysWhatALiveReportSays) {
  const std::vector<std::string> command = {
      testprog("exact_mix"), "--threads", "1", "--operations", "100000", dir_.file("truth.json")};
  const Report live = run_traced(command, {"--kinds", "heap"}).report();
  const Report recorded(replay(record(command, {"--kinds", "heap"}), "json"));
  const auto truth = nlohmann::json::parse(read_whole(dir_.file("truth.json")));
  for (const auto& site : truth.at("sites")) {
    const std::string function = site.at("function");
    EXPECT_EQ(recorded.outstanding(function), live.outstanding(function)) << function;
    EXPECT_EQ(recorded.acquired(function), live.acquired(function)) << function;
    EXPECT_EQ(recorded.sites_with(function), live.sites_with(function)) << function;
  }
  EXPECT_EQ(recorded.outstanding_at_all(), live.outstanding_at_all());
  EXPECT_EQ(recorded.losses(), live.losses());
}

TEST_F(Outputs, ARecordingHoldsTheTruth) {
  const Report recorded(replay(
      record({testprog("exact_mix"), "--operations", "200000", dir_.file("truth.json")}), "json"));
  const auto truth = nlohmann::json::parse(read_whole(dir_.file("truth.json")));
  for (const auto& site : truth.at("sites")) {
    const Amount said = {site.at("outstanding").at("count"), site.at("outstanding").at("bytes")};
    EXPECT_EQ(recorded.outstanding(site.at("function"), site.at("kind")), said)
        << site.at("function");
  }
}

/// Frames are named from the recording: it is read where the program is not.
TEST_F(Outputs, ARecordingNeedsNoProgram) {
  const std::string copy = dir_.file("soon_gone");
  std::filesystem::copy_file(testprog("leak_longjmp"), copy);
  const std::string path = record({copy});
  std::filesystem::remove(copy);
  EXPECT_EQ(Report(replay(path, "json")).outstanding("hold_for_jump"), (Amount{1600, 76800}));
}

TEST_F(Outputs, ACutRecordingIsReadUpToItsCut) {
  const std::string path = record({testprog("many_stacks"), "2000"}, {"--interval", "0.1"});
  const std::string whole = read_whole(path);
  ASSERT_GT(whole.size(), 1000U);
  for (const double part : {0.02, 0.3, 0.6, 0.9, 0.999}) {
    const auto size = static_cast<std::size_t>(part * static_cast<double>(whole.size()));
    write_whole(dir_.file("cut"), whole.substr(0, size));
    const Outcome outcome = run_leaktrace({"report", dir_.file("cut"), "--format", "json"});
    ASSERT_LT(outcome.status, 2) << "cut at " << size << ": " << outcome.err;
    if (outcome.status == 1) {
      EXPECT_THAT(outcome.err, HasSubstr("cut")) << "cut at " << size;
      continue;
    }
    EXPECT_EQ(Report(outcome.out).json().at("cut_off"), true) << "cut at " << size;
    EXPECT_LE(Report(outcome.out).outstanding("leak_at_bottom").count, 2000U);
  }
}

TEST_F(Outputs, ADamagedRecordingDoesNotCrash) {
  const std::string path = record({testprog("leak_longjmp")});
  const std::string whole = read_whole(path);
  for (std::size_t at = 0; at < whole.size(); at += whole.size() / 25 + 1) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(~damaged[at]);
    write_whole(dir_.file("damaged"), damaged);
    const Outcome outcome = run_leaktrace({"report", dir_.file("damaged")});
    EXPECT_LT(outcome.status, 2) << "byte " << at << ": " << outcome.err;
  }
}

}  // namespace
}  // namespace leaktrace::runtime
