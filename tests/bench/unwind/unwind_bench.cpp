// SPDX-License-Identifier: Apache-2.0
//
// unwind_bench FILE…: what the unwind tables of files cost: compiling (rows a second, memory), and
// reading them from the disk cache.
// unwind_bench --attach LIBRARY: what attaching to a process that maps it takes, step by step.
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "tests/bench/unwind/attach_bench.h"
#include "user/base/unique_fd.h"
#include "user/unwind/table.h"
#include "user/unwind/table_cache.h"

namespace {

using leaktrace::UniqueFd;
namespace unwind = leaktrace::unwind;

double seconds(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// Wall-clock and processor time since it was made.
struct Watch {
  double wall = seconds(CLOCK_MONOTONIC);
  double cpu = seconds(CLOCK_THREAD_CPUTIME_ID);
  [[nodiscard]] double wall_ms() const { return (seconds(CLOCK_MONOTONIC) - wall) * 1e3; }
  [[nodiscard]] double cpu_ms() const { return (seconds(CLOCK_THREAD_CPUTIME_ID) - cpu) * 1e3; }
};

/// Kilobytes, of /proc/self/status.
long status_field(std::string_view name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(name)) return std::strtol(line.c_str() + name.size() + 1, nullptr, 10);
  }
  return 0;
}

void time_file(const std::string& path, unwind::TableCache& cache) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const long before = status_field("VmRSS");
  const Watch compiling;
  const auto table = unwind::read_table(fd.get());
  const double wall = compiling.wall_ms();
  const double cpu = compiling.cpu_ms();
  if (!table) {
    fmt::print("{}: {}\n", path, table.error().message());
    return;
  }
  const long peak = status_field("VmHWM") - before;
  const auto identity = unwind::identify(fd.get(), "0123456789");
  const Watch storing;
  if (!identity || !cache.store(*identity, *table)) return;
  const double stored = storing.wall_ms();
  const Watch loading;
  const auto loaded = cache.load(*identity);
  if (!loaded) return;
  const auto rows = static_cast<double>(table->rows.size());
  fmt::print("{:<22} {:>8} {:>7} {:>6} {:>8.1f} {:>8.1f} {:>8.2f} {:>7.1f} {:>7.1f} {:>8} {:>8}\n",
             std::filesystem::path(path).filename().string(), table->rows.size(),
             table->described_ranges, table->rules.size(), wall, cpu, rows / cpu / 1e3, stored,
             loading.wall_ms(), table->rows.size() * 8 / 1024 + table->pages.size() * 8 / 1024 + 1,
             peak);
}

/// Each file in a process of its own, for its peak of memory.
void time_files(int count, char** paths) {
  std::string folder = "/tmp/leaktrace-unwind-bench.XXXXXX";
  if (::mkdtemp(folder.data()) == nullptr) return;
  auto cache = unwind::TableCache::open(folder, uint64_t{1} << 30);
  fmt::print("{:<22} {:>8} {:>7} {:>6} {:>8} {:>8} {:>8} {:>7} {:>7} {:>8} {:>8}\n", "file", "rows",
             "ranges", "rules", "wall ms", "CPU ms", "Mrows/s", "store", "load ms", "kernel K",
             "peak K");
  std::fflush(stdout);
  for (int i = 0; cache && i < count; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      time_file(paths[i], **cache);
      std::fflush(stdout);
      ::_exit(0);
    }
    ::waitpid(child, nullptr, 0);
  }
  std::filesystem::remove_all(folder);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: unwind_bench FILE... | --attach LIBRARY\n");
    return 2;
  }
  const std::string_view mode = argv[1];
  if (mode == "--target" && argc > 3) {
    leaktrace::bench::run_attach_target(argv[2], std::string_view(argv[3]) == "now");
  }
  if (mode == "--attach" && argc > 2) return leaktrace::bench::time_attaching(argv[2]);
  time_files(argc - 1, argv + 1);
  return 0;
}
