// SPDX-License-Identifier: Apache-2.0
#include "tests/bpf/oracle/oracle.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/core.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <set>
#include <thread>

#include "oracle_probe.skel.h"
#include "tests/bpf/oracle/layouts.h"
#include "tests/bpf/unwind/follow.h"
#include "tests/bpf/unwind/traced_child.h"
#include "user/base/file.h"
#include "user/base/unique_fd.h"
#include "user/tracer/procfs.h"
#include "user/tracer/unwind_tables.h"

namespace leaktrace::tests {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t row_memory = 256U << 20;

struct SkeletonEnd {
  void operator()(oracle_probe_bpf* skeleton) const { oracle_probe_bpf__destroy(skeleton); }
};
struct RingEnd {
  void operator()(ring_buffer* ring) const { ring_buffer__free(ring); }
};
struct LinkEnd {
  void operator()(bpf_link* link) const { bpf_link__destroy(link); }
};

/// A folder of its own for the workload, which its user may enter; removed at the end.
class Scratch {
 public:
  Scratch() {
    std::string name = std::filesystem::temp_directory_path() / "unwind-oracle-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) return;
    path_ = name;
    std::filesystem::permissions(path_, std::filesystem::perms{0755});
  }
  ~Scratch() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// Ends the workload from another thread: politely, and after some seconds for good.
class Ending {
 public:
  void watch(pid_t root) {
    if (!root_) root_.reset(static_cast<int>(syscall(SYS_pidfd_open, root, 0)));
  }
  void request() {
    if (!root_) return;
    const auto now = Clock::now();
    if (asked_ == Clock::time_point{}) {
      asked_ = now;
      send(SIGTERM);
    } else if (now - asked_ > std::chrono::seconds(10)) {
      send(SIGKILL);
    }
  }

 private:
  // Not by <sys/pidfd.h>: glibc 2.36 forgot to say that its functions are C.
  void send(int signal) { syscall(SYS_pidfd_send_signal, root_.get(), signal, nullptr, 0); }

  UniqueFd root_;
  Clock::time_point asked_;
};

/// Two threads: one runs the workload and tells the tables and the layouts of new mappings while
/// the process stands still; the other compares what the BPF program sends.
class Session {
 public:
  Session(const Workload& workload, const Limits& limits, const Observer& observe)
      : workload_(workload), limits_(limits), observe_(observe) {}

  Result<OracleResult> run() {
    if (auto loaded = load(); !loaded) return loaded.unexpected();
    const auto began = Clock::now();
    deadline_ = began + limits_.time;
    std::thread checker([this] { check_until_done(); });
    run_traced(
        command(), [this](pid_t pid) { started(pid); }, [this](pid_t pid) { mapped(pid); });
    done_ = true;
    checker.join();
    if (!problem_.empty()) return fail(problem_);
    result_.calls = skeleton_->bss->calls;
    result_.ring_full = skeleton_->bss->ring_full;
    result_.foreign_probes = skeleton_->bss->foreign_probes;
    result_.seconds = std::chrono::duration<double>(Clock::now() - began).count();
    return std::move(result_);
  }

 private:
  Result<void> load() {
    skeleton_.reset(oracle_probe_bpf__open_and_load());
    if (!skeleton_) return fail(describe_errno("cannot load the oracle's program", errno));
    skeleton_->data->one_in = workload_.one_in;
    const auto& maps = skeleton_->maps;
    auto tables = tracer::UnwindTables::create(
        {bpf_map__fd(maps.unwind_rows), bpf_map__fd(maps.unwind_pages),
         bpf_map__fd(maps.unwind_ranges), bpf_map__fd(maps.unwind_rules),
         bpf_map__fd(maps.unwind_procs)},
        row_memory);
    if (!tables) return tables.unexpected();
    tables_ = std::make_unique<tracer::UnwindTables>(std::move(*tables));
    ring_.reset(ring_buffer__new(bpf_map__fd(maps.moments), on_moment, this, nullptr));
    if (!ring_) return fail(describe_errno("cannot read the ring", errno));
    if (scratch_.path().empty()) return fail(describe_errno("no temporary folder", errno));
    return {};
  }

  [[nodiscard]] std::vector<std::string> command() const {
    std::vector<std::string> words = {"/usr/bin/env", "-C", scratch_.path()};
    words.insert(words.end(), workload_.command.begin(), workload_.command.end());
    return words;
  }

  void started(pid_t pid) {
    ending_.watch(pid);
    const std::string exe = tracer::read_process_info(pid).exe;
    const std::string name = std::filesystem::path(exe).filename();
    const auto& wanted = workload_.programs;
    if (!wanted.empty() && std::find(wanted.begin(), wanted.end(), name) == wanted.end()) return;
    if (!probed_.insert(pid).second) return;
    const std::string& file = workload_.library.empty() ? exe : workload_.library;
    for (const std::string& function : workload_.functions) {
      LIBBPF_OPTS(bpf_uprobe_opts, options, .func_name = function.c_str());
      std::unique_ptr<bpf_link, LinkEnd> link(bpf_program__attach_uprobe_opts(
          skeleton_->progs.take_moment, pid, file.c_str(), 0, &options));
      if (!link)
        problem_ = describe_errno(fmt::format("cannot probe {} of {}", function, file), errno);
      links_.push_back(std::move(link));
    }
  }

  void mapped(pid_t pid) {
    if (probed_.count(pid) == 0) return;
    if (auto followed = follow_process(*tables_, pid); !followed) problem_ = followed.error().what;
    layouts_.note(pid);
  }

  static int on_moment(void* self, void* data, size_t) {
    static_cast<Session*>(self)->check(*static_cast<const oracle_stack*>(data));
    return 0;
  }

  void check_until_done() {
    while (!done_) {
      ring_buffer__poll(ring_.get(), 50);
      if (enough() || Clock::now() > deadline_) ending_.request();
    }
    ring_buffer__consume(ring_.get());
  }

  [[nodiscard]] bool enough() const { return result_.tally.stacks() >= limits_.stacks; }

  void check(const oracle_stack& moment) {
    if (enough()) return;
    CopyUnwinder* unwinder = layouts_.at(static_cast<pid_t>(moment.tgid), moment.time);
    if (unwinder == nullptr) {
      problem_ = "a stack of a process whose mappings are not known";
      return;
    }
    const ReferenceStack reference = unwinder->unwind(moment);
    const Verdict verdict = compare(moment, reference);
    if (observe_) observe_(moment, verdict, *unwinder);
    std::string where;
    if (verdict.outcome != Outcome::equal) where = place(*unwinder, moment, reference, verdict);
    result_.tally.add(verdict, where);
  }

  /// The last frame that both agree on and what each says next.
  static std::string place(const CopyUnwinder& unwinder, const oracle_stack& moment,
                           const ReferenceStack& reference, const Verdict& verdict) {
    if (verdict.outcome < Outcome::both_stop) return {};
    const uint32_t equal = verdict.frames;
    const uint64_t last = equal > 0 ? moment.frames[equal - 1] : moment.reg[ORACLE_RIP];
    std::string text = fmt::format("after {}:", unwinder.describe(last));
    text += equal < moment.count ? " leaktrace " + unwinder.describe(moment.frames[equal])
                                 : fmt::format(" leaktrace ends, reason {}", moment.reason);
    if (equal + 1 < reference.frames.size()) {
      text += ", libdwfl " + unwinder.describe(reference.frames[equal + 1]);
    } else {
      text += reference.stopped_by.empty() ? ", libdwfl: end of the stack"
                                           : ", libdwfl: " + reference.stopped_by;
      if (reference.missing) text += " (it reads what is not in the copy)";
    }
    return text;
  }

  const Workload& workload_;
  const Limits& limits_;
  const Observer& observe_;
  std::unique_ptr<oracle_probe_bpf, SkeletonEnd> skeleton_;
  std::unique_ptr<ring_buffer, RingEnd> ring_;
  std::unique_ptr<tracer::UnwindTables> tables_;
  std::vector<std::unique_ptr<bpf_link, LinkEnd>> links_;
  std::set<pid_t> probed_;
  Layouts layouts_;
  Scratch scratch_;
  Ending ending_;
  Clock::time_point deadline_;
  std::atomic<bool> done_ = false;
  std::string problem_;
  OracleResult result_;
};

}  // namespace

Result<OracleResult> run_oracle(const Workload& workload, const Limits& limits,
                                const Observer& observe) {
  return Session(workload, limits, observe).run();
}

}  // namespace leaktrace::tests
