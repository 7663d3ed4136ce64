// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/unwind/attach_bench.h"

#include <bpf/libbpf.h>
#include <dlfcn.h>
#include <fmt/core.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>

#include "leaktrace/abi.h"
#include "user/base/unique_fd.h"
#include "user/catalog/row.h"
#include "user/tracer/features.h"
#include "user/tracer/tracer.h"

namespace leaktrace::bench {
namespace {

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

/// Processor time of this process, kernel and threads included: what a busy machine does not blur.
double cpu_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) * 1e-6;
}

/// The target in a child process; it is ended with this.
class Target {
 public:
  Target(const std::string& library, bool at_once) {
    std::array<int, 2> in{};
    std::array<int, 2> out{};
    if (::pipe(in.data()) != 0 || ::pipe(out.data()) != 0) std::abort();
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(in[0], 0);
      ::dup2(out[1], 1);
      ::execl("/proc/self/exe", "unwind_bench", "--target", library.c_str(),
              at_once ? "now" : "later", nullptr);
      ::_exit(1);
    }
    in_.reset(in[1]);
    out_.reset(out[0]);
    ::close(in[0]);
    ::close(out[1]);
    char ready = 0;
    if (::read(out_.get(), &ready, 1) != 1) std::abort();
  }
  ~Target() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  void open_library() const { (void)!::write(in_.get(), "x", 1); }

 private:
  pid_t pid_ = -1;
  UniqueFd in_;
  UniqueFd out_;
};

/// Calls back for each event of the ring.
class Events {
 public:
  using Handler = std::function<void(const lt_event_header&)>;
  Events(int map, Handler handler)
      : handler_(std::move(handler)),
        ring_(ring_buffer__new(
            map,
            [](void* self, void* data, size_t) {
              static_cast<Events*>(self)->handler_(*static_cast<const lt_event_header*>(data));
              return 0;
            },
            this, nullptr)) {}
  ~Events() { ring_buffer__free(ring_); }
  Events(const Events&) = delete;
  Events& operator=(const Events&) = delete;

  void drain() { ring_buffer__consume(ring_); }
  [[nodiscard]] int fd() const { return ring_buffer__epoll_fd(ring_); }

 private:
  Handler handler_;
  ring_buffer* ring_;
};

std::unique_ptr<tracer::Tracer> make_tracer(const std::string& cache) {
  tracer::TracerOptions options;
  options.rows = catalog::select(catalog::memory_rows(), std::array{LT_KIND_HEAP, LT_KIND_MMAP});
  options.mode = tracer::multi_probes_work() ? tracer::ProbeMode::multi : tracer::ProbeMode::single;
  options.unwind_cache = cache;
  tracer::TracerListener listener;
  listener.on_image = [](auto, const auto&) {};
  listener.on_module = [](const auto&) {};
  listener.on_unwind_loss = [](const tracer::UnwindLoss& loss) {
    fmt::print("lost: {}: {}\n", loss.path, loss.why);
  };
  auto tracer = tracer::Tracer::create(std::move(options), std::move(listener));
  if (!tracer) {
    fmt::print(stderr, "{}\n", tracer.error().message());
    return nullptr;
  }
  return std::move(*tracer);
}

/// One attach, from loading the programs to the first stack.
int time_attach(const char* name, const std::string& library, const std::string& cache) {
  const Target target(library, true);
  const auto start = Clock::now();
  const double start_cpu = cpu_ms();
  const auto tracer = make_tracer(cache);
  if (!tracer) return 1;
  const double loaded = ms_since(start);
  const double loaded_cpu = cpu_ms();
  std::optional<const char*> first;
  Events events(tracer->engine().maps().events, [&](const lt_event_header& header) {
    if (first || header.type != LT_EVENT_STACK) return;
    const auto& stack = reinterpret_cast<const lt_event_stack&>(header);
    first = stack.reason == LT_STACK_COMPLETE ? "whole" : "cut";
  });
  if (auto attached = tracer->attach(target.pid()); !attached) {
    fmt::print(stderr, "{}\n", attached.error().message());
    return 1;
  }
  const double attached = ms_since(start);
  const double attached_cpu = cpu_ms();
  while (!first && ms_since(start) < 10'000) {
    pollfd wait{events.fd(), POLLIN, 0};
    ::poll(&wait, 1, 100);
    events.drain();
  }
  fmt::print(
      "{:<6} programs {:7.1f}   tables {:7.1f}   procfs, symbols, probes {:7.1f}   "
      "first stack {:7.1f} ms ({})\n",
      name, loaded, tracer->unwind_usage().waited_seconds * 1e3,
      attached - loaded - tracer->unwind_usage().waited_seconds * 1e3, ms_since(start),
      first.value_or("none came"));
  fmt::print("       CPU      {:7.1f}   tables, procfs, symbols, probes {:7.1f}\n",
             loaded_cpu - start_cpu, attached_cpu - loaded_cpu);
  return 0;
}

/// A library that is opened while tracing: how long its code has no rows.
int time_opening(const char* name, const std::string& library, const std::string& cache) {
  const Target target(library, false);
  const auto tracer = make_tracer(cache);
  if (!tracer || !tracer->attach(target.pid())) return 1;
  std::optional<Clock::time_point> heard;
  Events events(tracer->engine().maps().events, [&](const lt_event_header& header) {
    if (header.type != LT_EVENT_CODE_MAPPED) return;
    heard = Clock::now();
    if (auto scanned = tracer->rescan(target.pid()); !scanned) std::abort();
  });
  const uint64_t before = tracer->unwind_usage().modules;
  const auto start = Clock::now();
  target.open_library();
  std::optional<double> done;
  double longest = 0;
  auto looked = Clock::now();
  while (ms_since(start) < 10'000) {
    std::array<pollfd, 2> wait{{{events.fd(), POLLIN, 0}, {tracer->tables_fd(), POLLIN, 0}}};
    ::poll(wait.data(), wait.size(), 100);
    looked = Clock::now();
    tracer->on_tables_loaded();
    events.drain();
    longest = std::max(longest, ms_since(looked));
    if (heard && tracer->unwind_usage().modules > before && tracer->unwind_usage().pending == 0) {
      done = ms_since(*heard);
      break;
    }
  }
  fmt::print(
      "{:<6} rows {:7.1f} ms after it was heard of; the event loop was busy {:.1f} ms at "
      "most at once\n",
      name, done.value_or(-1), longest);
  return 0;
}

}  // namespace

void run_attach_target(const std::string& library, bool at_once) {
  if (at_once && ::dlopen(library.c_str(), RTLD_NOW) == nullptr) std::abort();
  (void)!::write(1, "r", 1);
  pollfd input{0, POLLIN, 0};
  bool open = at_once;
  for (;;) {
    void* block = std::malloc(100);
    asm volatile("" : : "r"(block) : "memory");
    std::free(block);
    if (::poll(&input, 1, 1) > 0 && !open) {
      open = true;
      if (::dlopen(library.c_str(), RTLD_NOW) == nullptr) std::abort();
    }
    if (::getppid() == 1) ::_exit(0);
  }
}

int time_attaching(const std::string& library) {
  std::string folder = "/tmp/leaktrace-attach-bench.XXXXXX";
  if (::mkdtemp(folder.data()) == nullptr) return 1;
  int status = 0;
  fmt::print("attach to a process that maps {}\n", library);
  for (const char* name : {"cold", "warm", "warm"}) status |= time_attach(name, library, folder);
  std::filesystem::remove_all(folder);
  ::mkdir(folder.c_str(), 0700);
  fmt::print("the same library, opened while tracing\n");
  for (const char* name : {"cold", "warm", "warm"}) status |= time_opening(name, library, folder);
  std::filesystem::remove_all(folder);
  return status;
}

}  // namespace leaktrace::bench
