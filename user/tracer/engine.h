// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "leaktrace/abi.h"
#include "leaktrace/pg_abi.h"
#include "leaktrace/python_abi.h"
#include "user/base/result.h"
#include "user/catalog/row.h"
#include "user/tracer/link.h"
#include "user/tracer/link_keeper.h"
#include "user/tracer/unwind_tables.h"

struct bpf_object;
struct bpf_program;
struct engine_bpf;

namespace leaktrace::tracer {

/// How probes on functions are attached.
enum class ProbeMode {
  single,   ///< one perf event a probe: every kernel
  multi,    ///< one link for all functions of a file: since 6.6
  session,  ///< and one for entry and return: since 6.13
};

/// Bounds of the kernel-side tables, in entries, and what is traced.
struct EngineLimits {
  std::uint64_t live = 2U << 20;
  std::uint64_t stacks = 65536;
  std::uint64_t sites = 65536;
  std::uint64_t threads = 65536;
  std::uint32_t ring_bytes = 4U << 20;
  std::uint64_t min_size = 0;
  std::uint64_t max_size = UINT64_MAX;
  std::uint64_t unwind_bytes = 256U << 20;  ///< kernel memory for unwind information
  std::uint32_t stack_depth = LT_MAX_FRAMES;
  std::uint64_t sampling_base = 0;       ///< bytes; 0: every block
  std::uint64_t pg_connections = 65536;  ///< to PostgreSQL that are followed at once
  std::uint32_t pg_text_bytes = 4096;    ///< of SQL that are read, LT_PG_HEAD_BYTES at least
};

/// Descriptors of the maps that a collector reads; they belong to the engine.
struct EngineMaps {
  int events = -1;
  int call_sites = -1;
  int call_stacks = -1;
  int retiring_stacks = -1;
  int stacks_retire = -1;
  int live_resources = -1;
  int site_lifetimes = -1;
  int losses = -1;
  int probe_hits = -1;
  int pg_sessions = -1;
  volatile std::uint32_t* state_epoch = nullptr;  ///< to be counted up: see bpf/lib/processes.bpf.h
};

/// The programs that run on entry and return of hooked functions.
enum class EngineProgram {
  call_entered,  ///< where no session is
  release_enter,
  call_session,   ///< entry and return, by the trampoline
  call_returned,  ///< on a return: by the trampoline, or on the function's own instruction
  code_mapped,
  entry_reached,
};

/// Functions of one file to put one program on.
struct ProbeTargets {
  std::vector<unsigned long> offsets;  ///< in the file
  std::vector<std::uint64_t> cookies;  ///< row indices, one an offset
  bool by_trampoline = false;          ///< on the return of the functions that begin there
};

/// For tests, which measure the programs: called with the BPF object right before it is loaded and
/// right after.
struct LoadWatch {
  std::function<void(bpf_object*)> before;
  std::function<void(bpf_object*)> after;
};

/// The loaded BPF object: programs and maps. Nothing is attached to a function until asked.
class Engine {
 public:
  /// Loads the programs, fills in the catalog and follows fork, exec and exit of traced processes.
  static Result<Engine> load(const EngineLimits& limits, const std::vector<catalog::Row>& rows,
                             ProbeMode mode, const LoadWatch& watch = {});
  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;
  ~Engine();

  /// Has this keeper own what attach() attaches; it must outlive the engine.
  [[nodiscard]] Result<void> give_links_to(LinkKeeper& keeper);
  /// Puts a program on functions of the open file `fd`. `pid`: only in that process; -1: in all.
  /// What is `costly` goes with the keeper's window, and is not attached while that is closed.
  /// The error is ESRCH's when the process is gone.
  [[nodiscard]] Result<std::vector<Link>> attach(EngineProgram program, pid_t pid, int fd,
                                                 const ProbeTargets& targets, bool costly = false);

  /// Follows fork, exec and exit no longer. What was sent before waits in the ring.
  void stop_following() { process_links_.clear(); }

  /// An exec has been answered: the next ones wait for it again (bpf/lib/hold.bpf.h).
  void answer_exec();

  [[nodiscard]] Result<void> set_process(pid_t pid, lt_process process);
  void remove_process(pid_t pid);

  /// Says where an image keeps Python frames, so that its stacks have them.
  [[nodiscard]] Result<void> set_python(std::uint32_t image, const lt_python& python);
  void remove_python(std::uint32_t image);
  /// Says where a build of libpq keeps things. `index`: from 1, below LT_PG_MAX_LAYOUTS; the
  /// cookies of its functions have it.
  [[nodiscard]] Result<void> set_pg_layout(std::uint32_t index, const lt_pg_layout& layout);
  /// Samples one block in `base << step` bytes from now on; `step` < LT_SAMPLING_STEPS. The base is
  /// fixed when the engine is loaded.
  void set_sampling_step(std::uint32_t step);
  /// What tracing cost the processes of a slot, over all CPUs.
  [[nodiscard]] lt_hits hits(std::uint32_t slot) const;

  /// Nothing when the process is not, or no longer, in the table.
  [[nodiscard]] std::optional<lt_process> process(pid_t pid) const;

  [[nodiscard]] UnwindMapFds unwind_maps() const;
  [[nodiscard]] ProbeMode mode() const { return mode_; }
  [[nodiscard]] EngineMaps maps() const;

 private:
  struct SkeletonDeleter {
    void operator()(engine_bpf* skeleton) const;
  };
  using Skeleton = std::unique_ptr<engine_bpf, SkeletonDeleter>;

  Engine(Skeleton skeleton, ProbeMode mode) : skeleton_(std::move(skeleton)), mode_(mode) {}
  [[nodiscard]] Result<void> follow_processes();
  void choose_programs();
  void change_state();
  [[nodiscard]] bpf_program* program(EngineProgram which) const;
  [[nodiscard]] LinkKind link_kind(EngineProgram which) const;
  Skeleton skeleton_;
  ProbeMode mode_ = ProbeMode::single;
  LinkKeeper* keeper_ = nullptr;
  std::vector<Link> process_links_;
};

}  // namespace leaktrace::tracer
