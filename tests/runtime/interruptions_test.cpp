// SPDX-License-Identifier: Apache-2.0
//
// What becomes of a target when leaktrace is stopped, killed, or held up by whoever reads what it
// prints: its probes go, and come back when leaktrace does.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <random>
#include <thread>

#include "tests/runtime/leaktrace.h"
#include "user/base/unique_fd.h"

namespace leaktrace::runtime {
namespace {

using testing::HasSubstr;

constexpr Seconds kLimit{60};

/// A program that allocates all the time and counts how often.
class Storm {
 public:
  Storm() : process_({testprog("counted_storm")}), memory_(process_.pid()) {
    const auto counter = process_.wait_for_line("counter");
    if (!counter) throw std::runtime_error("counted_storm did not start");
    address_ = std::stoull(*counter);
    clean_ = memory_.code();
  }

  [[nodiscard]] pid_t pid() const { return process_.pid(); }
  [[nodiscard]] bool running() { return process_.running(); }
  /// No probe is in the code of its allocator.
  [[nodiscard]] bool is_clean() const { return memory_.code() == clean_; }
  bool wait_until_clean(Seconds limit = kLimit) const {
    return wait_until([&] { return is_clean(); }, limit);
  }
  bool wait_until_probed() const {
    return wait_until([&] { return !is_clean(); }, kLimit);
  }

  /// Rounds in a second of its own CPU time, which no other program changes.
  [[nodiscard]] double speed() const {
    const std::uint64_t rounds = read_counter();
    const double seconds = cpu_seconds();
    wait_until([&] { return cpu_seconds() - seconds > 0.3; }, kLimit);
    return static_cast<double>(read_counter() - rounds) / (cpu_seconds() - seconds);
  }

 private:
  [[nodiscard]] std::uint64_t read_counter() const {
    const UniqueFd memory(
        ::open(("/proc/" + std::to_string(pid()) + "/mem").c_str(), O_RDONLY | O_CLOEXEC));
    std::uint64_t rounds = 0;
    EXPECT_EQ(::pread(memory.get(), &rounds, sizeof(rounds), static_cast<off_t>(address_)),
              static_cast<ssize_t>(sizeof(rounds)));
    return rounds;
  }
  [[nodiscard]] double cpu_seconds() const {
    clockid_t clock = 0;
    timespec used{};
    EXPECT_EQ(::clock_getcpuclockid(pid(), &clock), 0);
    ::clock_gettime(clock, &used);
    return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
  }

  Process process_;
  TargetMemory memory_;
  std::uint64_t address_ = 0;
  std::string clean_;
};

/// T: stopped.
char state_of(pid_t pid) {
  const std::string stat = read_whole("/proc/" + std::to_string(pid) + "/stat");
  const std::size_t end = stat.rfind(')');
  return end == std::string::npos || end + 2 >= stat.size() ? '?' : stat[end + 2];
}

std::size_t times_said(Attached& attached, const std::string& words) {
  const std::string said = attached.process().err();
  std::size_t count = 0;
  for (std::size_t at = said.find(words); at != std::string::npos; at = said.find(words, at + 1)) {
    ++count;
  }
  return count;
}

class Interruptions : public RuntimeTest {
 protected:
  void SetUp() override {
    RuntimeTest::SetUp();
    if (IsSkipped()) return;
    storm_ = std::make_unique<Storm>();
  }

  std::unique_ptr<Storm> storm_;
};

TEST_F(Interruptions, CtrlZTakesTheProbesAwayBeforeItStops) {
  Attached attached({storm_->pid()}, exactly());
  ASSERT_TRUE(storm_->wait_until_probed());
  const pid_t leaktrace = attached.process().pid();
  attached.process().signal(SIGTSTP);
  ASSERT_TRUE(wait_until([&] { return state_of(leaktrace) == 'T'; }, kLimit));
  EXPECT_TRUE(storm_->is_clean());
  attached.process().signal(SIGCONT);
  EXPECT_TRUE(storm_->wait_until_probed());
  const Report report = attached.stop();
  EXPECT_EQ(attached.outcome().status, 0) << attached.outcome().err;
  EXPECT_THAT(attached.outcome().err, HasSubstr("leaktrace was stopped (SIGTSTP, Ctrl-Z)"));
  EXPECT_THAT(report.json().at("not_seen").dump(), HasSubstr("SIGTSTP"));
  EXPECT_LT(report.json().at("mode").at("duty_percent"), 100);
  EXPECT_TRUE(storm_->is_clean());
  EXPECT_TRUE(storm_->running());
}

TEST_F(Interruptions, CtrlZDoesTheSameWithABudget) {
  Attached attached({storm_->pid()}, {"--budget", "5"});
  const pid_t leaktrace = attached.process().pid();
  attached.process().signal(SIGTSTP);
  ASSERT_TRUE(wait_until([&] { return state_of(leaktrace) == 'T'; }, kLimit));
  EXPECT_TRUE(storm_->is_clean());
  attached.process().signal(SIGCONT);
  EXPECT_TRUE(wait_until([&] { return times_said(attached, "SIGTSTP") > 0; }, kLimit));
  (void)attached.stop();
  EXPECT_EQ(attached.outcome().status, 0) << attached.outcome().err;
}

TEST_F(Interruptions, StoppedByForceItsProbesAreTakenAway) {
  const double free_speed = storm_->speed();
  Attached attached({storm_->pid()}, exactly());
  ASSERT_TRUE(storm_->wait_until_probed());
  const double probed_speed = storm_->speed();
  attached.process().signal(SIGSTOP);
  ASSERT_TRUE(storm_->wait_until_clean());
  // Twice as fast at least; here it is twenty times.
  const double speed = storm_->speed();
  EXPECT_GT(speed, 2 * probed_speed) << "without leaktrace: " << free_speed;
  attached.process().signal(SIGCONT);
  EXPECT_TRUE(storm_->wait_until_probed());
  const Report report = attached.stop();
  EXPECT_EQ(attached.outcome().status, 0) << attached.outcome().err;
  EXPECT_THAT(attached.outcome().err, HasSubstr("leaktrace did not answer"));
  EXPECT_THAT(report.json().at("not_seen").dump(), HasSubstr("did not answer"));
  EXPECT_LT(report.json().at("mode").at("duty_percent"), 100);
}

/// A pipe of the smallest size, which nobody reads from.
class UnreadPipe {
 public:
  UnreadPipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
    read_ = UniqueFd(ends[0]);
    write_ = UniqueFd(ends[1]);
    (void)::fcntl(write_.get(), F_SETPIPE_SZ, 4096);
  }
  [[nodiscard]] std::string path() const {
    return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(write_.get());
  }
  [[nodiscard]] bool is_full() const {
    pollfd poll{.fd = write_.get(), .events = POLLOUT, .revents = 0};
    return ::poll(&poll, 1, 0) == 0;
  }
  void close() { read_.reset(); }

 private:
  UniqueFd read_;
  UniqueFd write_;
};

TEST_F(Interruptions, NobodyReadsItsReportsAndProbesComeAndGoAllTheSame) {
  UnreadPipe pipe;
  TempDir dir;
  const std::string command = leaktrace_path() + " --verbose attach --budget 5 --interval 0.2 -p " +
                              std::to_string(storm_->pid()) + " > " + pipe.path() + " 2> " +
                              dir.file("err");
  Process leaktrace({"sh", "-c", "exec " + command});
  const auto windows = [&] {
    const std::string said = read_whole(dir.file("err"));
    std::size_t count = 0;
    for (std::size_t at = 0; (at = said.find("probes attached again", at)) != std::string::npos;) {
      ++count;
      ++at;
    }
    return count;
  };
  ASSERT_TRUE(wait_until([&] { return pipe.is_full(); }, kLimit));
  const std::size_t before = windows();
  EXPECT_TRUE(wait_until([&] { return windows() >= before + 3; }, kLimit))
      << read_whole(dir.file("err"));
  leaktrace.signal(SIGINT);
  ASSERT_TRUE(storm_->wait_until_clean());
  pipe.close();
  EXPECT_EQ(leaktrace.wait(kLimit).timed_out, false);
}

TEST_F(Interruptions, KilledItLeavesNoProbe) {
  Attached attached({storm_->pid()}, exactly());
  ASSERT_TRUE(storm_->wait_until_probed());
  attached.process().signal(SIGKILL);
  EXPECT_TRUE(storm_->wait_until_clean(Seconds(20)));
  EXPECT_TRUE(storm_->running());
}

/// Counts what the kernel says of probes that it could not take away, from now on.
class LeakedProbes {
 public:
  LeakedProbes() : log_(::open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC)) {
    if (!log_ || ::lseek(log_.get(), 0, SEEK_END) < 0) throw std::runtime_error("no /dev/kmsg");
  }
  [[nodiscard]] std::vector<std::string> messages() const {
    std::vector<std::string> found;
    std::array<char, 8192> text{};
    for (;;) {
      const ssize_t got = ::read(log_.get(), text.data(), text.size());
      if (got < 0 && errno == EPIPE) continue;  // some were overwritten
      if (got <= 0) return found;
      std::string message(text.data(), static_cast<std::size_t>(got));
      if (message.find("leaking uprobe") != std::string::npos) found.push_back(std::move(message));
    }
  }

 private:
  UniqueFd log_;
};

TEST_F(Interruptions, KilledInTheMiddleOfAttachingItLeavesNothing) {
  const LeakedProbes leaked;
  std::minstd_rand random(1);  // from the first of its work to some time after attaching
  std::uniform_int_distribution<int> milliseconds(20, 1200);
  for (int i = 0; i < 20; ++i) {
    Process leaktrace(
        leaktrace_command({"attach", "--budget", "off", "-p", std::to_string(storm_->pid())}));
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds(random)));
    leaktrace.signal(SIGKILL);
    (void)leaktrace.wait();
    EXPECT_TRUE(storm_->wait_until_clean(Seconds(20)));
  }
  EXPECT_THAT(leaked.messages(), testing::IsEmpty());
  EXPECT_TRUE(storm_->running());
}

}  // namespace
}  // namespace leaktrace::runtime
