// SPDX-License-Identifier: Apache-2.0
// What tracing adds to a pair of malloc and free: the same loop in a child process untraced, with
// probes that do nothing at the same places, and traced. Prints nanoseconds a pair, the ratios, and
// how long each BPF program ran (bpf_stats). Ratios are of one run on one machine: repeat it before
// believing a difference of a few percent.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <empty_probe.skel.h>
#include <fmt/core.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/bpf/engine/traced_child.h"
#include "user/base/unique_fd.h"
#include "user/catalog/row.h"
#include "user/tracer/features.h"
#include "user/tracer/procfs.h"

namespace leaktrace::test {
namespace {

constexpr int kRounds = 5;

/// What the child measured, shared with the parent.
struct Shared {
  std::uint64_t pairs;
  std::uint64_t nanoseconds;
};

std::uint64_t now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(now.tv_nsec);
}

// Some frames below main, so that the unwinder has something to do.
__attribute__((noinline)) void pair_at_depth(int depth) {
  if (depth > 0) {
    pair_at_depth(depth - 1);
  } else {
    void* block = std::malloc(64);
    asm volatile("" : : "r"(block) : "memory");
    std::free(block);
  }
  asm volatile("" ::: "memory");
}

void loop(Shared& shared) {
  std::uint64_t begin = now_ns();
  for (std::uint64_t i = 0; i < shared.pairs; ++i) pair_at_depth(10);
  shared.nanoseconds = now_ns() - begin;
}

// The best of some rounds: whatever else runs on the machine only ever adds.
double measure(Child& child, Shared& shared, std::uint64_t pairs) {
  shared.pairs = pairs;
  double best = 1e18;
  for (int round = 0; round < kRounds; ++round) {
    if (!child.work()) std::exit(1);
    best = std::min(best, static_cast<double>(shared.nanoseconds) / static_cast<double>(pairs));
  }
  return best;
}

struct SkeletonDeleter {
  void operator()(empty_probe_bpf* skeleton) const { empty_probe_bpf__destroy(skeleton); }
};
struct LinkDeleter {
  void operator()(bpf_link* link) const { bpf_link__destroy(link); }
};
using Link = std::unique_ptr<bpf_link, LinkDeleter>;

std::string libc_path() {
  auto maps = tracer::read_maps(::getpid());
  if (maps) {
    for (const tracer::Mapping& mapping : *maps) {
      if (mapping.path.find("/libc.so") != std::string::npos) return mapping.path;
    }
  }
  return {};
}

Link attach_empty(bpf_program* program, pid_t pid, const std::string& path, const char* function,
                  bool on_return) {
  LIBBPF_OPTS(bpf_uprobe_opts, options);
  options.func_name = function;
  options.retprobe = on_return;
  return Link(bpf_program__attach_uprobe_opts(program, pid, path.c_str(), 0, &options));
}

double measure_empty(Child& child, Shared& shared, std::uint64_t pairs) {
  std::unique_ptr<empty_probe_bpf, SkeletonDeleter> skeleton(empty_probe_bpf__open_and_load());
  if (!skeleton) return 0;
  std::string path = libc_path();
  std::array<Link, 3> links = {
      attach_empty(skeleton->progs.empty_enter, child.pid(), path, "malloc", false),
      attach_empty(skeleton->progs.empty_exit, child.pid(), path, "malloc", true),
      attach_empty(skeleton->progs.empty_enter, child.pid(), path, "free", false)};
  for (const Link& link : links) {
    if (!link) return 0;
  }
  return measure(child, shared, pairs);
}

void print_program_times() {
  fmt::print("\n{:<16} {:>12} {:>10} {:>14}\n", "BPF program", "runs", "ns/run", "instructions");
  std::uint32_t id = 0;
  while (bpf_prog_get_next_id(id, &id) == 0) {
    UniqueFd fd(bpf_prog_get_fd_by_id(id));
    bpf_prog_info info{};
    std::uint32_t size = sizeof(info);
    if (!fd || bpf_prog_get_info_by_fd(fd.get(), &info, &size) != 0 || info.run_cnt == 0) continue;
    fmt::print("{:<16} {:>12} {:>10} {:>14}\n", info.name, info.run_cnt,
               info.run_time_ns / info.run_cnt, info.xlated_prog_len / 8);
  }
}

double measure_traced(Child& child, Shared& shared, std::uint64_t pairs, bool multi) {
  TracedHooks::Options options;
  options.mode = multi ? tracer::ProbeMode::multi : tracer::ProbeMode::single;
  options.rows = {catalog::memory_rows().begin(), catalog::memory_rows().end()};
  TracedHooks hooks(options);
  auto attached = hooks.tracer().attach(child.pid());
  if (!attached) {
    fmt::print(stderr, "{}\n", attached.error().message());
    std::exit(1);
  }
  double traced = measure(child, shared, pairs);
  UniqueFd stats(bpf_enable_stats(BPF_STATS_RUN_TIME));
  if (!child.work()) std::exit(1);
  print_program_times();
  return traced;
}

int run(std::uint64_t pairs) {
  auto* shared = static_cast<Shared*>(
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  if (shared == MAP_FAILED) return 1;
  bool multi = tracer::multi_probes_work();
  Child child([shared] { loop(*shared); });
  double untraced = measure(child, *shared, pairs * 20);
  double empty = measure_empty(child, *shared, pairs);
  double traced = measure_traced(child, *shared, pairs, multi);

  fmt::print("\n{:<30} {:>10} {:>12} {:>12}\n", "malloc(64) + free, 10 frames", "ns/pair",
             "x untraced", "x empty");
  fmt::print("{:<30} {:>10.1f} {:>12.1f} {:>12}\n", "untraced", untraced, 1.0, "");
  fmt::print("{:<30} {:>10.1f} {:>12.1f} {:>12.2f}\n", "empty probes", empty, empty / untraced,
             1.0);
  fmt::print("{:<30} {:>10.1f} {:>12.1f} {:>12.2f}\n", "leaktrace", traced, traced / untraced,
             traced / empty);
  return empty > 0 ? 0 : 1;
}

}  // namespace
}  // namespace leaktrace::test

int main(int argc, char** argv) {
  return leaktrace::test::run(argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 100'000);
}
