// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/calibration.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <utility>
#include <vector>

#include "user/base/file.h"
#include "user/tracer/feature_programs.h"
#include "user/tracer/procfs.h"
#include "user/tracer/session_link.h"

// The functions that the child calls. What matters is their first instruction: one that the kernel
// emulates, as functions begin with, and one that it has to single-step.
#if defined(__x86_64__)
#define LT_EMULATED_CODE "push %rbp\n pop %rbp\n ret\n"
#define LT_STEPPED_CODE "test %rdi, %rdi\n ret\n"
#elif defined(__aarch64__)
#define LT_EMULATED_CODE "b 1f\n 1: ret\n"
#define LT_STEPPED_CODE "mov x0, x0\n ret\n"
#else
#error "no functions to calibrate with on this machine"
#endif
#define LT_FUNCTION(name, code)                                                                 \
  asm(".pushsection .text\n .p2align 4\n .globl " #name "\n .type " #name ", @function\n" #name \
      ":\n" code ".size " #name ", . - " #name "\n .popsection\n");                             \
  extern "C" void name()
LT_FUNCTION(lt_calibrate_plain, LT_EMULATED_CODE);
LT_FUNCTION(lt_calibrate_entry, LT_EMULATED_CODE);
LT_FUNCTION(lt_calibrate_stepped, LT_STEPPED_CODE);
LT_FUNCTION(lt_calibrate_return, LT_EMULATED_CODE);

namespace leaktrace::tracer {
namespace {

constexpr std::size_t kRounds = 15;
/// The child stops after this round when it has used up its time.
constexpr std::size_t kFewestRounds = 3;
constexpr std::uint64_t kMostNs = 40'000'000;

/// A function and how often a round calls it: where single-stepping costs 20 us, a millisecond.
struct Called {
  void (*function)();
  std::uint32_t calls;
};
constexpr std::size_t kPlain = 0, kEntry = 1, kStepped = 2, kReturn = 3, kKinds = 4;
constexpr std::array<Called, kKinds> kCalled = {{{lt_calibrate_plain, 400},
                                                 {lt_calibrate_entry, 400},
                                                 {lt_calibrate_stepped, 50},
                                                 {lt_calibrate_return, 400}}};

/// What the child writes for its parent: nanoseconds a call, by round.
struct Readings {
  std::uint32_t rounds = 0;
  std::array<std::array<double, kRounds>, kKinds> ns{};
};

struct Unmapped {
  void operator()(Readings* readings) const { ::munmap(readings, sizeof(Readings)); }
};
using SharedReadings = std::unique_ptr<Readings, Unmapped>;

SharedReadings share_readings() {
  void* memory =
      ::mmap(nullptr, sizeof(Readings), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return SharedReadings(memory == MAP_FAILED ? nullptr : new (memory) Readings);
}

/// CPU time of this thread: other programs on a busy machine do not count.
std::uint64_t used_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(now.tv_nsec);
}

double time_calls(const Called& called) {
  const std::uint64_t from = used_ns();
  for (std::uint32_t i = 0; i < called.calls; ++i) called.function();
  return static_cast<double>(used_ns() - from) / called.calls;
}

/// In the child: only system calls and calls of those functions, for it was forked from a process
/// with threads.
[[noreturn]] void be_sacrificed(int begin_fd, Readings& readings) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  char byte = 0;
  if (::read(begin_fd, &byte, 1) != 1) ::_exit(1);
  for (const Called& called : kCalled) called.function();  // not the first time
  const std::uint64_t from = used_ns();
  for (std::size_t round = 0; round < kRounds; ++round) {
    if (round >= kFewestRounds && used_ns() - from > kMostNs) break;
    for (std::size_t kind = 0; kind < kKinds; ++kind) {
      readings.ns[kind][round] = time_calls(kCalled[kind]);
    }
    readings.rounds = static_cast<std::uint32_t>(round + 1);
  }
  ::_exit(0);
}

/// A child that begins when it is told to. Killed and reaped at the end.
class Child {
 public:
  explicit Child(Readings& readings) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return;
    UniqueFd begin(ends[0]);
    begin_ = UniqueFd(ends[1]);
    pid_ = ::fork();
    if (pid_ != 0) return;
    begin_ = UniqueFd();
    be_sacrificed(begin.get(), readings);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    wait();
  }

  [[nodiscard]] pid_t pid() const { return pid_; }
  bool run() {
    if (::write(begin_.get(), "", 1) != 1) return false;
    const auto status = wait();
    return status && WIFEXITED(*status) && WEXITSTATUS(*status) == 0;
  }

 private:
  std::optional<int> wait() {
    int status = 0;
    pid_t waited = 0;
    do {
      waited = ::waitpid(pid_, &status, 0);
    } while (waited < 0 && errno == EINTR);
    pid_ = -1;
    return waited > 0 ? std::optional(status) : std::nullopt;
  }

  UniqueFd begin_;
  pid_t pid_ = -1;
};

/// The probes on the child's functions, and the programs that they run.
struct Probes {
  std::vector<Skeleton> programs;
  std::vector<Link> links;
};

/// Where a function of this program is in its file.
std::optional<unsigned long> file_offset(void (*function)()) {
  const auto address = reinterpret_cast<std::uintptr_t>(function);
  const auto maps = read_maps(::getpid());
  if (!maps) return std::nullopt;
  for (const Mapping& mapping : *maps) {
    if (address >= mapping.start && address < mapping.end) {
      return address - mapping.start + mapping.offset;
    }
  }
  return std::nullopt;
}

constexpr const char* kOwnFile = "/proc/self/exe";

Link attach(const bpf_program* program, ProbeMode mode, pid_t pid, unsigned long offset,
            bool on_return) {
  const LinkKind kind = mode == ProbeMode::single  ? LinkKind::single
                        : mode == ProbeMode::multi ? LinkKind::multi
                                                   : LinkKind::session;
  const LinkRequest request{.program_fd = bpf_program__fd(program),
                            .kind = kind,
                            .on_return = on_return,
                            .pid = pid,
                            .offsets = {&offset, 1},
                            .cookies = {}};
  if (auto kept = attach_by_keeper(request, kOwnFile)) return std::move(*kept);
  switch (mode) {
    case ProbeMode::single: {
      LIBBPF_OPTS(bpf_uprobe_opts, options, .retprobe = on_return);
      return Link(bpf_program__attach_uprobe_opts(program, pid, kOwnFile, offset, &options));
    }
    case ProbeMode::multi: {
      LIBBPF_OPTS(bpf_uprobe_multi_opts, options, .offsets = &offset, .cnt = 1,
                  .retprobe = on_return);
      return Link(bpf_program__attach_uprobe_multi(program, pid, kOwnFile, nullptr, &options));
    }
    case ProbeMode::session:
      return Link(create_session_link(program, kOwnFile, {&offset, 1}, {}, pid));
  }
  return {};
}

/// A program of its own kind, attached as the trace does.
bool add(Probes& probes, const bpf_program* program, ProbeMode mode, pid_t pid, void (*on)(),
         bool on_return = false) {
  const auto offset = file_offset(on);
  if (!offset) return false;
  probes.links.push_back(attach(program, mode, pid, *offset, on_return));
  return static_cast<bool>(probes.links.back());
}

bool add_all(Probes& probes, ProbeMode mode, pid_t pid) {
  TrialContext context;
  context.nonce = ~0ULL;  // no call passes it: the programs return at once
  const bool sessions = mode == ProbeMode::session;
  const ProbeMode plain = sessions ? ProbeMode::multi : mode;
  const auto type = plain == ProbeMode::multi ? kUprobeMulti : kPerfEvent;
  probes.programs.push_back(sessions
                                ? load_programs(context, {"count_entry"}, type)
                                : load_programs(context, {"count_entry", "count_return"}, type));
  if (!probes.programs.back()) return false;
  const auto& programs = probes.programs.back()->progs;
  if (!add(probes, programs.count_entry, plain, pid, lt_calibrate_entry) ||
      !add(probes, programs.count_entry, plain, pid, lt_calibrate_stepped)) {
    return false;
  }
  if (!sessions) {
    return add(probes, programs.count_return, plain, pid, lt_calibrate_return, true) &&
           add(probes, programs.count_entry, plain, pid, lt_calibrate_return);
  }
  probes.programs.push_back(load_programs(context, {"count_both"}, kUprobeSession));
  return probes.programs.back() && add(probes, probes.programs.back()->progs.count_both,
                                       ProbeMode::session, pid, lt_calibrate_return);
}

double median(const Readings& readings, std::size_t kind) {
  auto ns = readings.ns[kind];
  const auto middle = ns.begin() + readings.rounds / 2;
  std::nth_element(ns.begin(), middle, ns.begin() + readings.rounds);
  return *middle;
}

HitCosts costs_of(const Readings& readings) {
  const double plain = median(readings, kPlain);
  auto more = [](double with, double without) { return std::max(with - without, 0.0); };
  HitCosts costs;
  costs.entry = more(median(readings, kEntry), plain);
  costs.stepped = more(median(readings, kStepped), plain);
  costs.returning = more(median(readings, kReturn), median(readings, kEntry));
  return costs;
}

}  // namespace

Result<Calibration> calibrate(ProbeMode mode) {
  const SharedReadings readings = share_readings();
  if (!readings) return fail(describe_errno("no memory to calibrate with", errno));
  Child child(*readings);
  if (child.pid() < 0) return fail(describe_errno("no child to calibrate with", errno));
  Probes probes;
  const bool attached = add_all(probes, mode, child.pid());
  const int error = errno;
  const bool measured = attached && child.run() && readings->rounds > 0;
  Calibration calibration;
  if (measured) calibration.costs = costs_of(*readings);
  if (LinkKeeper::current() != nullptr) detach_together(std::exchange(probes.links, {}), false);
  calibration.detaching = std::async(std::launch::async, [owned = std::move(probes)]() mutable {
    owned.links.clear();
    owned.programs.clear();
  });
  if (!attached) return fail(describe_errno("cannot attach to calibrate", error));
  if (!measured) return fail("the child to calibrate with ended too early");
  return calibration;
}

std::optional<unsigned long> uncalled_function() {
  return file_offset(lt_calibrate_plain);
}

HitCosts assumed_hit_costs() {
  return {.entry = 600, .stepped = 3000, .returning = 400};
}

}  // namespace leaktrace::tracer
