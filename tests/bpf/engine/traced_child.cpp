// SPDX-License-Identifier: Apache-2.0
#include "tests/bpf/engine/traced_child.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace leaktrace::test {
namespace {

std::uint64_t monotonic_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(now.tv_nsec);
}

bool read_byte(int fd) {
  char byte = 0;
  return ::read(fd, &byte, 1) == 1;
}

void write_byte(int fd) {
  char byte = 1;
  [[maybe_unused]] ssize_t n = ::write(fd, &byte, 1);
}

}  // namespace

Child::Child(std::function<void()> work) {
  std::array<int, 2> go{};
  std::array<int, 2> done{};
  EXPECT_EQ(::pipe(go.data()), 0);
  EXPECT_EQ(::pipe(done.data()), 0);
  pid_ = ::fork();
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::close(go[1]);
    ::close(done[0]);
    while (read_byte(go[0])) {
      work();
      write_byte(done[1]);
    }
    ::_exit(0);
  }
  ::close(go[0]);
  ::close(done[1]);
  go_ = go[1];
  done_ = done[0];
}

Child::~Child() {
  end();
  ::close(go_);
  ::close(done_);
}

bool Child::work() {
  write_byte(go_);
  return read_byte(done_);
}

void Child::end() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

TracedHooks::TracedHooks(Options options) {
  tracer::TracerOptions settings;
  settings.limits = options.limits;
  settings.rows = options.rows;
  settings.mode = options.mode;
  settings.follow = options.follow;
  auto tracer = tracer::Tracer::create(
      std::move(settings),
      {.on_image =
           [this](std::uint32_t image, const tracer::ProcessInfo& info) {
             trace_.apply(model::Process{.image = {image},
                                         .pid = static_cast<std::uint32_t>(info.pid),
                                         .comm = info.comm,
                                         .exe = info.exe,
                                         .cgroup = info.cgroup,
                                         .since_ns = 0});
           },
       .on_module = [](const tracer::Module&) {},
       .on_unwind_loss = [](const tracer::UnwindLoss&) {},
       .on_probe_loss = [](const tracer::ProbeLoss&) {},
       .on_python = [](std::uint32_t, const tracer::PythonProcess&) {}});
  EXPECT_TRUE(tracer) << tracer.error().message();
  tracer_ = std::move(*tracer);
  tracer::EngineMaps maps = tracer_->engine().maps();
  auto source = collect::LiveSource::create(
      {.events = maps.events,
       .call_sites = maps.call_sites,
       .call_stacks = maps.call_stacks,
       .retiring_stacks = maps.retiring_stacks,
       .stacks_retire = maps.stacks_retire,
       .live_resources = maps.live_resources,
       .site_lifetimes = maps.site_lifetimes,
       .losses = maps.losses,
       .probe_hits = maps.probe_hits,
       .state_epoch = maps.state_epoch},
      {.began_ns = monotonic_ns(), .sampling_base = options.limits.sampling_base, .ranges = {}},
      {.resolve =
           [](const lt_event_header&, std::uint64_t address) {
             return model::RawFrame{.address = address, .module = {}, .offset = 0};
           },
       .on_process =
           [this](const lt_event_process& event) {
             if (event.header.type == LT_EVENT_PROCESS_FORK) tracer_->on_fork(event);
             if (event.header.type == LT_EVENT_PROCESS_EXEC) tracer_->on_exec(event);
             if (event.header.type == LT_EVENT_PROCESS_EXIT) {
               trace_.apply(model::ProcessEnd{.image = {event.header.image},
                                              .reason = model::EndReason::exited,
                                              .wait_status = event.other,
                                              .at_ns = 0});
               tracer_->on_exit(static_cast<pid_t>(event.header.tgid));
             }
           },
       .mapped = options.mapped,
       .in_allocator = {},
       .python = {}},
      sink_);
  EXPECT_TRUE(source) << source.error().message();
  source_ = std::move(*source);
}

void TracedHooks::trace(Child& child) {
  auto attached = tracer_->attach(child.pid());
  ASSERT_TRUE(attached) << attached.error().message();
  ASSERT_TRUE(child.work());
  read();
}

void TracedHooks::read() {
  auto read = source_->snapshot();
  ASSERT_TRUE(read) << read.error().message();
  auto walked = source_->walk_blocks();
  ASSERT_TRUE(walked) << walked.error().message();
}

model::Counters TracedHooks::total(model::Kind kind, pid_t pid) const {
  model::Counters sum;
  for (const auto& [key, site] : trace_.sites()) {
    if (key.kind != kind) continue;
    auto process = trace_.processes().find(key.image);
    if (pid != 0 && (process == trace_.processes().end() ||
                     process->second.process.pid != static_cast<std::uint32_t>(pid))) {
      continue;
    }
    sum.acquired_count += site.counters.acquired_count;
    sum.acquired_bytes += site.counters.acquired_bytes;
    sum.released_count += site.counters.released_count;
    sum.released_bytes += site.counters.released_bytes;
  }
  return sum;
}

std::size_t TracedHooks::blocks(model::Kind kind) const {
  if (!trace_.blocks()) return 0;
  return static_cast<std::size_t>(std::ranges::count_if(
      trace_.blocks()->blocks, [&](const model::Block& block) { return block.site.kind == kind; }));
}

std::uint64_t TracedHooks::loss(lt_loss cause) const {
  return trace_.losses()[cause];
}

std::uint64_t TracedHooks::losses_but(std::vector<lt_loss> expected) const {
  expected.push_back(LT_LOSS_STACK_TRUNCATED);  // says nothing of the counts
  std::uint64_t sum = 0;
  for (int cause = 0; cause < LT_LOSS_COUNT; ++cause) {
    if (std::ranges::find(expected, cause) == expected.end()) {
      sum += trace_.losses()[static_cast<std::size_t>(cause)];
    }
  }
  return sum;
}

}  // namespace leaktrace::test
