// SPDX-License-Identifier: Apache-2.0
//
// What leaktrace does to files and descriptors that others have a hand in: planted links, older
// files, closed and full outputs.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "tests/runtime/leaktrace.h"

namespace leaktrace::runtime {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

Outcome shell(const std::string& script, Seconds limit = Seconds(120)) {
  return run_command({"bash", "-c", script}, {}, limit);
}

class OutputFiles : public RuntimeTest {
 protected:
  /// A recording at `path`, made by tracing a short command.
  void record(const std::string& path) const {
    const Outcome outcome = run_leaktrace({"record", "-o", path, "--", "true"});
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    ASSERT_THAT(read_whole(path), testing::StartsWith("LEAKTRACE"));
  }
  [[nodiscard]] std::size_t files_in(const std::string& folder) const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), {}));
  }
};

TEST_F(OutputFiles, InAFolderOfAllArePutInThePlaceOfPlantedLinks) {
  const std::string victim = dir_.file("victim");
  write_whole(victim, "victim");
  const std::string folder = dir_.file("all");
  fs::create_directory(folder);
  ASSERT_EQ(::chmod(folder.c_str(), 01777), 0);
  const auto plant = [&](const std::string& name) {
    fs::create_symlink(victim, folder + "/" + name);
    ASSERT_EQ(::lchown((folder + "/" + name).c_str(), 65534, 65534), 0);
  };
  plant("report");
  plant("recording");
  const auto expect_own = [&](const std::string& name) {
    struct stat info {};
    ASSERT_EQ(::lstat((folder + "/" + name).c_str(), &info), 0);
    EXPECT_TRUE(S_ISREG(info.st_mode));
    EXPECT_EQ(info.st_mode & 0777U, 0600U);
    EXPECT_EQ(info.st_uid, ::geteuid());
  };
  EXPECT_EQ(run_leaktrace({"run", "-o", folder + "/report", "--", "true"}).status, 0);
  EXPECT_EQ(run_leaktrace({"record", "-o", folder + "/recording", "--", "true"}).status, 0);
  expect_own("report");
  expect_own("recording");
  EXPECT_EQ(read_whole(victim), "victim");
  EXPECT_EQ(files_in(folder), 2U);
}

TEST_F(OutputFiles, ARecordingIsNotPutInThePlaceOfAnotherFile) {
  const std::string path = dir_.file("notes");
  write_whole(path, "notes of a day");
  const Outcome outcome = run_leaktrace({"record", "-o", path, "--", "echo", "was run"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr("is not a recording"));
  EXPECT_THAT(outcome.out, Not(HasSubstr("was run")));
  EXPECT_EQ(read_whole(path), "notes of a day");
}

TEST_F(OutputFiles, AnOlderRecordingStaysWhenTheTraceCannotBegin) {
  const std::string path = dir_.file("recording");
  record(path);
  const std::string older = read_whole(path);
  EXPECT_EQ(run_leaktrace({"record", "-o", path, "--", "/no/such/command"}).status, 1);
  EXPECT_EQ(run_leaktrace({"record", "-o", path, "-p", "4194303"}).status, 1);
  EXPECT_EQ(read_whole(path), older);
  EXPECT_EQ(files_in(dir_.path()), 1U);
}

TEST_F(OutputFiles, ARecordingThatWasKilledHoldsWhatItHad) {
  const std::string path = dir_.file("recording");
  record(path);
  const std::string older = read_whole(path);
  Process target({testprog("steady_leak")});
  {
    Process recorder(leaktrace_command(
        {"record", "-o", path, "--interval", "0.2", "-p", std::to_string(target.pid())}));
    ASSERT_TRUE(wait_until([&] { return read_whole(path) != older; }, Seconds(30)));
    recorder.signal(SIGKILL);
    recorder.wait();
  }
  const Outcome report = run_leaktrace({"report", path, "--format", "json"});
  EXPECT_EQ(report.status, 0) << report.err;
  EXPECT_EQ(Report(report.out).json().at("cut_off"), true);
  EXPECT_GE(Report(report.out).json().at("period").at("intervals"), 1);
}

// A link of the test's own: were it replaced, the machine would be without /dev/stdout.
TEST_F(OutputFiles, ALinkToStdoutIsWrittenToAndStays) {
  const std::string path = dir_.file("recording");
  record(path);
  const std::string link = dir_.file("stdout");
  fs::create_symlink("/proc/self/fd/1", link);
  const Outcome report = run_leaktrace({"report", path, "--format", "json", "-o", link});
  EXPECT_EQ(report.status, 0) << report.err;
  EXPECT_EQ(Report(report.out).json().at("version"), 1);
  EXPECT_TRUE(fs::is_symlink(link));
}

/// Bit N: descriptor N is closed when leaktrace starts.
class ClosedDescriptors : public RuntimeTest, public testing::WithParamInterface<unsigned> {
 protected:
  [[nodiscard]] static bool closed(unsigned fd) { return (GetParam() >> fd & 1U) != 0; }
  [[nodiscard]] static std::string redirections() {
    return std::string(closed(0) ? " <&-" : "") + (closed(1) ? " >&-" : "") +
           (closed(2) ? " 2>&-" : "");
  }
  /// A command that notes which of its descriptors are open.
  [[nodiscard]] std::string command() const {
    return fmt::format(
        "bash -c 'for i in 0 1 2; do test -e /proc/$$/fd/$i && a=$a$i; done; "
        "echo open:$a >{}'",
        dir_.file("open"));
  }
  void expect_same_for_command() const {
    std::string open = "open:";
    for (unsigned fd = 0; fd < 3; ++fd) open += closed(fd) ? "" : std::to_string(fd);
    EXPECT_EQ(read_whole(dir_.file("open")), open + "\n");
  }
};

TEST_P(ClosedDescriptors, NothingOfOursGoesIntoAReport) {
  const std::string path = dir_.file("report");
  // With a warning: the program has no libpq.
  const Outcome outcome = shell(fmt::format("{} run --kinds heap,pg --format json -o {} -- {}{}",
                                            leaktrace_path(), path, command(), redirections()));
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(Report(read_whole(path)).json().at("version"), 1);
  EXPECT_EQ(outcome.err.find("has not loaded libpq") == std::string::npos, closed(2));
  expect_same_for_command();
}

TEST_P(ClosedDescriptors, NothingOfOursGoesIntoARecording) {
  const std::string path = dir_.file("recording");
  const Outcome outcome = shell(fmt::format("{} record --kinds heap,pg -o {} -- {}{}",
                                            leaktrace_path(), path, command(), redirections()));
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  expect_same_for_command();
  const Outcome report = run_leaktrace({"report", path, "--format", "json"});
  EXPECT_EQ(report.status, 0) << report.err;
  EXPECT_EQ(report.err, "");
  EXPECT_EQ(Report(report.out).json().at("cut_off"), false);
}

INSTANTIATE_TEST_SUITE_P(All, ClosedDescriptors, testing::Range(0U, 8U));

class BrokenOutputs : public RuntimeTest {
 protected:
  void SetUp() override {
    RuntimeTest::SetUp();
    if (IsSkipped()) return;
    target_ = std::make_unique<Process>(std::vector<std::string>{testprog("steady_leak")});
    ASSERT_TRUE(
        wait_until([&] { return !TargetMemory(target_->pid()).code().empty(); }, Seconds(10)));
    code_ = TargetMemory(target_->pid()).code();
  }
  [[nodiscard]] std::string attach(const std::string& options) const {
    return fmt::format("{} attach -p {} {}", leaktrace_path(), target_->pid(), options);
  }
  void expect_untouched() const {
    EXPECT_TRUE(target_->running());
    EXPECT_EQ(TargetMemory(target_->pid()).code(), code_) << "a probe is left";
  }

  std::unique_ptr<Process> target_;
  std::string code_;
};

TEST_F(BrokenOutputs, AFullStdoutIsAnErrorAtTheEnd) {
  const Outcome outcome = shell(attach("--duration 1 --interval 0.3 >/dev/full"));
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr("No space left"));
  expect_untouched();
}

TEST_F(BrokenOutputs, AFullStderrChangesNothing) {
  const Outcome outcome = shell(attach("--kinds heap,pg --duration 1 --format json 2>/dev/full"));
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(Report(outcome.out).json().at("version"), 1);
  expect_untouched();
}

TEST_F(BrokenOutputs, AReaderThatGoesEndsTheTraceWithAnError) {
  const Outcome outcome = shell(attach("--interval 0.2 | head -n 1; echo ${PIPESTATUS[0]}"));
  EXPECT_FALSE(outcome.timed_out);
  EXPECT_THAT(outcome.out, testing::EndsWith("\n1\n"));
  EXPECT_THAT(outcome.err, HasSubstr("Broken pipe"));
  expect_untouched();
}

TEST_F(BrokenOutputs, AReaderOfMessagesThatGoesChangesNothing) {
  const Outcome outcome =
      shell(attach("--kinds heap,pg --duration 1 --format json 2> >(true); echo; echo status $?"));
  EXPECT_THAT(outcome.out, HasSubstr("status 0"));
  expect_untouched();
}

TEST_F(BrokenOutputs, AFullDiskKeepsTheOlderReport) {
  const std::string disk = dir_.file("disk");
  const std::string script = fmt::format(
      "mkdir {0} && mount -t tmpfs -o size=64k none {0} && echo older >{0}/report && "
      "{{ head -c 100000 /dev/zero >{0}/rest; {1}; echo status $?; cat {0}/report; "
      "ls -A {0}; }}",
      disk, attach("--duration 1 --format json -o " + disk + "/report"));
  const Outcome outcome = run_command({"unshare", "--mount", "bash", "-c", script});
  EXPECT_THAT(outcome.out, HasSubstr("status 1\nolder\n"));
  EXPECT_THAT(outcome.out, testing::EndsWith("report\nrest\n")) << "and leaves nothing behind";
  EXPECT_THAT(outcome.err, HasSubstr("No space left"));
  expect_untouched();
}

// leaktrace itself ignores SIGPIPE.
TEST_F(BrokenOutputs, TheCommandOfRunStillEndsWithItsReader) {
  const Outcome outcome = run_leaktrace(
      {"run", "--", "bash", "-c", "yes | head -n 1 >/dev/null; exit ${PIPESTATUS[0]}"});
  EXPECT_EQ(outcome.status, 128 + SIGPIPE) << outcome.err;
}

}  // namespace
}  // namespace leaktrace::runtime
