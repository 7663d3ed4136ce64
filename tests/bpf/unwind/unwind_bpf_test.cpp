// SPDX-License-Identifier: Apache-2.0
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dlfcn.h>
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/bpf/unwind/scenarios.h"
#include "tests/bpf/unwind/stack_probe.h"
#include "tests/bpf/unwind/traced_child.h"
#include "user/base/unique_fd.h"

namespace leaktrace::tests {
namespace {

struct Truth {
  Scenario scenario{};
  std::vector<uint64_t> frames;
};

/// unwind_subject, held before its second round until go().
class Subject {
 public:
  explicit Subject(const char* path) {
    int in[2];
    int out[2];
    if (pipe(in) != 0 || pipe(out) != 0) std::abort();
    pid_ = fork();
    if (pid_ == 0) {
      dup2(in[0], STDIN_FILENO);
      dup2(out[1], STDOUT_FILENO);
      close(in[1]);
      close(out[0]);
      execl(path, path, nullptr);
      _exit(127);
    }
    close(in[0]);
    close(out[1]);
    to_.reset(in[1]);
    from_.reset(out[0]);
    char ready = 0;
    if (read(from_.get(), &ready, 1) != 1) ready_ = false;
  }
  ~Subject() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Subject(const Subject&) = delete;
  Subject& operator=(const Subject&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] bool ready() const { return ready_; }

  /// Runs the second round to its end; the stacks as the C++ runtime unwound them in the first.
  std::vector<Truth> go() {
    if (write(to_.get(), "g", 1) != 1) return {};
    std::string bytes;
    char buffer[65536];
    for (ssize_t n; (n = read(from_.get(), buffer, sizeof buffer)) > 0;) {
      bytes.append(buffer, static_cast<size_t>(n));
    }
    std::vector<uint64_t> words(bytes.size() / sizeof(uint64_t));
    std::memcpy(words.data(), bytes.data(), words.size() * sizeof(uint64_t));
    std::vector<Truth> truths;
    for (size_t i = 0; i + 1 < words.size();) {
      const auto begin = words.begin() + static_cast<ptrdiff_t>(i + 2);
      const auto count = static_cast<ptrdiff_t>(words[i + 1]);
      truths.push_back({static_cast<Scenario>(words[i]), {begin, begin + count}});
      i += 2 + words[i + 1];
    }
    return truths;
  }

 private:
  pid_t pid_ = -1;
  bool ready_ = true;
  UniqueFd to_;
  UniqueFd from_;
};

std::vector<uint64_t> frames_of(const stack_event& event) {
  return {event.frames, event.frames + event.count};
}

/// The innermost frame is point() in both, at its two calls; from its caller on all must agree.
void expect_same(const Truth& truth, const stack_event& event) {
  SCOPED_TRACE(testing::Message() << "scenario " << static_cast<uint64_t>(truth.scenario));
  std::vector<uint64_t> expected = truth.frames;
  std::vector<uint64_t> actual = frames_of(event);
  ASSERT_FALSE(actual.empty());
  const bool too_deep = expected.size() > LT_MAX_FRAMES;
  if (too_deep) expected.resize(LT_MAX_FRAMES);
  if (truth.scenario == Scenario::generated_code) {
    // The runtime cannot pass generated code: its frame is the last that it sees.
    ASSERT_GT(actual.size(), expected.size());
    actual.resize(expected.size());
  }
  expected.erase(expected.begin());
  actual.erase(actual.begin());
  EXPECT_EQ(actual, expected);
  EXPECT_EQ(event.reason, too_deep ? LT_STACK_DEPTH : LT_STACK_COMPLETE);
}

std::string path_of(const void* address) {
  Dl_info info{};
  return dladdr(address, &info) != 0 ? std::filesystem::canonical(info.dli_fname).string() : "";
}

class UnwindSubject : public testing::TestWithParam<std::pair<const char*, Program>> {
 protected:
  void SetUp() override {
    auto probe = StackProbe::load();
    ASSERT_TRUE(probe) << probe.error().message();
    probe_ = std::move(*probe);
  }

  void compare(bool hijack_callers) {
    const auto [path, program] = GetParam();
    Subject subject(path);
    ASSERT_TRUE(subject.ready());
    ASSERT_TRUE(probe_->follow(subject.pid()));
    probe_->emit(EMIT_ALL);
    auto attached = probe_->attach(program, subject.pid(), path, "probe_point");
    ASSERT_TRUE(attached) << attached.error().message();
    if (hijack_callers) {
      for (const char* function : {"hijacked", "point", "main"}) {
        attached = probe_->attach(Program::hijack, subject.pid(), path, function);
        ASSERT_TRUE(attached) << attached.error().message();
      }
    }
    const auto truths = subject.go();
    const auto events = probe_->take();
    ASSERT_GT(truths.size(), 25U);
    ASSERT_EQ(events.size(), truths.size());
    for (size_t i = 0; i < truths.size(); ++i) expect_same(truths[i], events[i]);
    const auto cost = probe_->cost(program);
    fmt::print("{} stacks equal, {} verified instructions\n", truths.size(),
               cost.verified_instructions);
  }

  std::unique_ptr<StackProbe> probe_;
};

TEST_P(UnwindSubject, SeesWhatTheRuntimeSees) {
  compare(false);
}

TEST_P(UnwindSubject, SeesThroughReturnProbesOnCallers) {
  compare(true);
}

INSTANTIATE_TEST_SUITE_P(Programs, UnwindSubject,
                         testing::Values(std::pair{SUBJECT, Program::take_stack},
                                         std::pair{SUBJECT, Program::take_stack_inline},
                                         std::pair{STATIC_SUBJECT, Program::take_stack}),
                         [](const auto& test) {
                           const std::string file = std::filesystem::path(test.param.first).stem();
                           const bool is_inline = test.param.second == Program::take_stack_inline;
                           return file + (is_inline ? "_inline" : "");
                         });

struct RealProgram {
  std::string name;
  std::vector<std::string> command;
  std::string library;  ///< of malloc
};

/// Runs it with `program` on malloc's return; prints how its stacks end and what one costs.
void measure(StackProbe& probe, const RealProgram& real, Program program) {
  uint64_t before[LT_STACK_REASONS];
  for (int i = 0; i < LT_STACK_REASONS; ++i)
    before[i] = probe.ended(static_cast<lt_stack_flags>(i));
  const uint64_t frames_before = probe.frames();
  const auto cost_before = probe.cost(program);
  Result<void> attached;
  const int status = run_traced(
      real.command,
      [&](pid_t pid) { attached = probe.attach(program, pid, real.library, "malloc"); },
      [&](pid_t pid) {
        const auto followed = probe.follow(pid);
        EXPECT_TRUE(followed) << followed.error().message();
      });
  probe.detach_all();
  ASSERT_TRUE(attached) << attached.error().message();
  EXPECT_EQ(status, 0);

  uint64_t total = 0;
  std::string reasons;
  for (int i = 0; i < LT_STACK_REASONS; ++i) {
    before[i] = probe.ended(static_cast<lt_stack_flags>(i)) - before[i];
    total += before[i];
    reasons += fmt::format(" {}", before[i]);
  }
  ASSERT_GT(total, 50U);
  const auto cost = probe.cost(program);
  const double runs = static_cast<double>(cost.runs - cost_before.runs);
  fmt::print("{}: {} stacks, {:.3f} % complete (by reason{}), {:.1f} frames, {:.0f} ns each\n",
             real.name, total, 100.0 * static_cast<double>(before[0]) / static_cast<double>(total),
             reasons,
             static_cast<double>(probe.frames() - frames_before) / static_cast<double>(total),
             static_cast<double>(cost.nanoseconds - cost_before.nanoseconds) / runs);
  if (program == Program::kernel_stack) return;
  EXPECT_GE((before[LT_STACK_COMPLETE] + before[LT_STACK_DEPTH]) * 1000, total * 999);
  for (const stack_event& event : probe.take()) {
    if (event.reason == LT_STACK_DEPTH) continue;
    std::string addresses;
    for (const uint64_t frame : frames_of(event)) addresses += fmt::format(" {:x}", frame);
    fmt::print("  cut, reason {}:{}\n", event.reason, addresses);
  }
}

TEST(UnwindPrograms, EndAtTheOutermostFrame) {
  auto loaded = StackProbe::load();
  ASSERT_TRUE(loaded) << loaded.error().message();
  StackProbe& probe = **loaded;
  probe.emit(EMIT_INCOMPLETE);
  const UniqueFd stats(bpf_enable_stats(BPF_STATS_RUN_TIME));
  const std::string libc = path_of(reinterpret_cast<const void*>(&std::abort));
  setenv("PYTHONMALLOC", "malloc", 1);
  const std::string source = testing::TempDir() + "unwind_hello.cpp";
  std::ofstream(source)
      << "#include <vector>\nint f(std::vector<int>& v){v.push_back(1);return 2;}";
  const std::vector<RealProgram> programs = {
      {"python3",
       {"/usr/bin/python3", "-c",
        "import json, re, collections; json.loads(json.dumps([{'a': [str(i)]} for i in range(200)]"
        ")); re.compile('(a|b)*c[d-f]+').match('ababcdef'); sorted(range(9), key=lambda x: -x)"},
       libc},
      {"redis-server",
       {"/usr/bin/redis-server", "--version"},
       "/lib/x86_64-linux-gnu/libjemalloc.so.2"},
      {"perl",
       {"/usr/bin/perl", "-e", "my %h = map { $_ => [$_] } 1..300; print sort keys %h;"},
       libc},
      {"clang", {"/usr/bin/clang++", "-O2", "-c", source, "-o", "/dev/null"}, libc},
  };
  for (const RealProgram& real : programs) {
    if (!std::filesystem::exists(real.command[0]) || !std::filesystem::exists(real.library)) {
      fmt::print("{}: not on this machine\n", real.name);
      continue;
    }
    SCOPED_TRACE(real.name);
    measure(probe, real, Program::take_stack);
    measure(probe, real, Program::kernel_stack);
  }
  const auto usage = probe.tables().usage();
  fmt::print("{} modules, {} KiB of rows, {} refused\n", usage.modules, usage.row_bytes / 1024,
             usage.refused_modules);
  EXPECT_EQ(usage.refused_modules, 0U);
}

}  // namespace
}  // namespace leaktrace::tests
