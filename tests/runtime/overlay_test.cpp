// SPDX-License-Identifier: Apache-2.0
//
// A library on an overlay file system that is copied up while it is mapped: the name leads to the
// copy, and a process that had mapped it before still runs the file below.
#include <gmock/gmock.h>
#include <signal.h>

#include <optional>

#include "tests/runtime/leaktrace.h"

namespace leaktrace::runtime {
namespace {

using testing::AllOf;
using testing::HasSubstr;

/// Runs steady_leak in an overlay of its own, in a mount namespace of its own, which ends with it.
/// Before the copy is made and after it a program is started; both keep running.
constexpr const char* kScript = R"(
set -eu
mkdir "$1/lower" "$1/upper" "$1/merged"
mount -t tmpfs none "$1/lower"
mount -t tmpfs none "$1/upper"
mkdir "$1/upper/up" "$1/upper/work" "$1/lower/app"
cp "$2" "$1/lower/app/app"
for library in $(ldd "$2" | grep -o '/[^ ]*'); do cp -L --parents "$library" "$1/lower"; done
mount -t overlay overlay -o "lowerdir=$1/lower,upperdir=$1/upper/up,workdir=$1/upper/work" \
  "$1/merged"
chroot "$1/merged" /app/app > "$1/before" &
before=$!
while ! grep -q running "$1/before"; do sleep 0.05; done
find "$1/merged" -name '*.so*' -exec touch {} +
chroot "$1/merged" /app/app > "$1/after" &
after=$!
while ! grep -q running "$1/after"; do sleep 0.05; done
trap 'kill $before $after; wait; exit 0' TERM
echo "pids $before $after"
wait
)";

class CopiedUp : public RuntimeTest {
 protected:
  void SetUp() override {
    RuntimeTest::SetUp();
    if (IsSkipped()) return;
    write_whole(dir_.file("script"), kScript);
    host_.emplace(std::vector<std::string>{"unshare", "--mount", "--propagation", "private", "sh",
                                           dir_.file("script"), dir_.path(),
                                           testprog("steady_leak")});
    const auto pids = host_->wait_for_line("pids", Seconds(60));
    ASSERT_TRUE(pids) << host_->err();
    before_ = pids->substr(0, pids->find(' '));
    after_ = pids->substr(pids->find(' ') + 1);
  }
  void TearDown() override {
    if (!host_) return;
    host_->signal(SIGTERM);
    (void)host_->wait(Seconds(10));
  }

  /// Where the layers are in reach: in the mount namespace of the programs.
  Outcome attach_inside(std::vector<std::string> options) {
    std::vector<std::string> command = {
        "nsenter",    "--mount",  "--target", before_, leaktrace_path(),
        "attach",     "--format", "json",     "-o",    dir_.file("report"),
        "--duration", "2"};
    command.insert(command.end(), options.begin(), options.end());
    return run_command(command);
  }
  [[nodiscard]] Report report() const { return Report(read_whole(dir_.file("report"))); }

  std::optional<Process> host_;
  std::string before_;
  std::string after_;
};

void expect_leaks_of(const Report& report, const std::string& pid) {
  EXPECT_GT(report.outstanding("leak_tick", "heap", std::stoi(pid)).count, 50U) << pid;
  EXPECT_THAT(report.json().at("file_losses"), testing::IsEmpty());
}

TEST_F(CopiedUp, AProgramThatStillRunsTheFileBelowIsSeen) {
  const Outcome outcome = attach_inside(exactly({"-p", before_}));
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  expect_leaks_of(report(), before_);
}

TEST_F(CopiedUp, AProgramThatIsAttachedToWithABudgetIsSeenToo) {
  const Outcome outcome = attach_inside({"-p", before_, "--sample-bytes", "1"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  expect_leaks_of(report(), before_);
}

TEST_F(CopiedUp, ProgramsOnBothFilesAreSeen) {
  const Outcome outcome = attach_inside(exactly({"-p", before_, "-p", after_}));
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  expect_leaks_of(report(), before_);
  expect_leaks_of(report(), after_);
}

TEST_F(CopiedUp, ProgramsOnBothFilesAreSeenByProbesInAllProcesses) {
  for (const char* mode : {"single", "multi", "session"}) {
    const Outcome outcome =
        attach_inside(exactly({"--follow", "--probe-mode", mode, "-p", before_, "-p", after_}));
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    expect_leaks_of(report(), before_);
    expect_leaks_of(report(), after_);
  }
}

TEST_F(CopiedUp, WhereTheLayersAreOutOfReachItSaysThatNothingIsSeen) {
  const Outcome outcome = run_leaktrace({"attach", "-p", before_, "--duration", "1"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("no probe reaches process " + before_),
                                 HasSubstr("overlay"), HasSubstr("touch")));
}

TEST_F(CopiedUp, WhereTheLayersAreOutOfReachAProgramOnTheCopyIsSeen) {
  const Outcome outcome =
      run_leaktrace({"attach", "-p", after_, "--duration", "2", "--format", "json", "-o",
                     dir_.file("report"), "--sample-bytes", "exact", "--budget", "off"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  expect_leaks_of(report(), after_);
}

}  // namespace
}  // namespace leaktrace::runtime
