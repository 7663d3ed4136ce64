// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "leaktrace/abi.h"
#include "user/base/result.h"
#include "user/catalog/allocators.h"
#include "user/catalog/row.h"
#include "user/tracer/address_space.h"
#include "user/tracer/elf_reader.h"
#include "user/tracer/engine.h"
#include "user/tracer/holds.h"
#include "user/tracer/hooks.h"
#include "user/tracer/link_keeper.h"
#include "user/tracer/modules.h"
#include "user/tracer/presence.h"
#include "user/tracer/probes.h"
#include "user/tracer/unseen_heaps.h"
#include "user/tracer/unwind_follower.h"

namespace leaktrace::tracer {

struct TracerOptions {
  EngineLimits limits;
  std::vector<catalog::Row> rows;
  ProbeMode mode = ProbeMode::single;
  bool follow = false;       ///< trace the children too
  bool trampolines = true;   ///< false: no return trampolines, whatever the kernel does with them
  std::string unwind_cache;  ///< folder of unwind tables on disk; empty: none
  std::shared_ptr<ElfReader> elf = std::make_shared<ElfReader>();
  /// Of unwind tables: each is used by a thread of its own.
  UnwindLoader::Sources tables{std::make_shared<unwind::TableSource>()};
  LinkKeeper* keeper = nullptr;  ///< owns the probes; null: one that create() forks
};

/// CPython's interpreter in a process.
struct PythonProcess {
  const PythonImage* image = nullptr;
  lt_python layout{};  ///< with the process's own addresses
};

/// What the tracer tells as it finds it.
struct TracerListener {
  /// A new process, or a new image of one.
  std::function<void(std::uint32_t image, const ProcessInfo&)> on_image;
  /// A file that code was mapped from, before any location refers to it.
  std::function<void(const Module&)> on_module;
  /// What of a file's unwind information cannot be used: once a file.
  std::function<void(const UnwindLoss&)> on_unwind_loss;
  /// Functions that must not be hooked, of a file of a process: once a process and file.
  std::function<void(const ProbeLoss&)> on_probe_loss;
  /// An image that runs Python, before its first stack with Python frames.
  std::function<void(std::uint32_t image, const PythonProcess&)> on_python;
  /// A program that was to be held when it began, but ran before.
  std::function<void(pid_t)> on_late{};
};

/// The processes that are traced, their code mappings, and the probes in them.
///
///   pid ──▶ TracedProcess { image, probes by file, loader hook }
///   image ──▶ AddressSpace ──▶ Module (fd, ELF)
///
/// A process's probes are its own (the kernel plants them in that address space only), unless
/// children are followed: then they are in every process that maps the file, because a child must
/// not run before it is probed, and the BPF side picks out the traced ones.
class Tracer {
 public:
  static Result<std::unique_ptr<Tracer>> create(TracerOptions options, TracerListener listener);

  /// Begins to trace a running process. On an error nothing is left attached to it.
  [[nodiscard]] Result<void> attach(pid_t pid);

  /// Begins to trace a process that waits to exec a program, a child of this one (see Launcher),
  /// and holds it from then until its entry point is reached, and so after each exec of its own.
  /// It is released when it has made none for one or two intervals: see tend().
  /// Programs that its children exec are held for a moment. The caller's thread is that of
  /// everything that is done to them.
  [[nodiscard]] Result<void> attach_before_exec(pid_t pid);

  /// Looks for code mapped since the last time, and hooks what it defines.
  [[nodiscard]] Result<void> rescan(pid_t pid);

  /// Does this process hold it by ptrace?
  [[nodiscard]] bool is_held(pid_t pid) const { return holds_.has(pid); }
  /// A held process has stopped, with this status of wait(2), and what was reported of it has been
  /// read: hooks what it has mapped, and lets it go on. An error says why it cannot be traced; it
  /// stands still then.
  [[nodiscard]] Result<void> on_stop(pid_t pid, int status);
  /// A held process has ended.
  void on_end(pid_t pid) { holds_.forget(pid); }
  /// A child has changed: lets those processes go that could not be let go before. `except`: one
  /// that the caller waits for.
  void on_child(pid_t except) { holds_.look_after_released(except); }

  // What the BPF side reports of a process.
  void on_fork(const lt_event_process& event);
  void on_exec(const lt_event_process& event);
  void on_exit(pid_t pid);
  void on_entry_reached(pid_t pid);

  /// Where an address of an image lies. When it is not in the process's code, as far as that is
  /// known, looks at its mappings again, but not time after time: see tend().
  [[nodiscard]] std::optional<Location> locate(std::uint32_t image, pid_t pid,
                                               std::uint64_t address);

  /// Is an address of a module (as Location has it) in a function that acquires or releases heap
  /// blocks?
  [[nodiscard]] bool is_allocator_code(std::uint32_t module, std::uint64_t address) const;

  /// Readable when unwind tables have been loaded in the background: on_tables_loaded().
  [[nodiscard]] int tables_fd() const { return unwind_->poll_fd(); }
  void on_tables_loaded() { unwind_->on_loaded(); }

  [[nodiscard]] UnwindUsage unwind_usage() const { return unwind_->usage(); }

  /// Once an interval: looks again at processes that had unknown code too often to be looked at
  /// each time, frees the tables that nobody uses, and releases a command that has started.
  void tend();

  /// Has the process libpq? Where rows of its functions are, under whatever name; else by its name.
  [[nodiscard]] bool has_libpq(pid_t pid) const;
  /// The same of any process that was traced.
  [[nodiscard]] bool has_seen_libpq() const { return !libpqs_.empty(); }

  /// Functions that acquire, hooked in a process or to be hooked when the pause is over. 0: nothing
  /// can be seen of it.
  [[nodiscard]] std::size_t acquire_functions(pid_t pid) const;

  /// Is anything to be seen of an attached process? The error says why not. Once its probes are
  /// there: after resume(), where it was attached to in a pause.
  [[nodiscard]] Result<void> check_observed(pid_t pid) const;
  /// The same as an error, for a process of which nothing is seen.
  [[nodiscard]] Error why_unobserved(pid_t pid) const;

  /// What of a process is known to be unseen: allocators that are not hooked, a heap that nothing
  /// is hooked of. `settled`: its libraries are all there.
  [[nodiscard]] std::vector<UnseenHeap> unseen_heaps(pid_t pid, bool settled) const;

  /// The program that runs this process's code translated (valgrind), or null. Such a process has
  /// no probes; where children are followed, nobody has any more from then on.
  [[nodiscard]] const catalog::Translator* translator_of(pid_t pid) const;

  /// Takes the probes on functions out of all processes, for a time; what follows processes and
  /// their libraries stays, and so do those of PostgreSQL clients. The keeper does it; nobody
  /// waits. What is attached to in that time gets its probes with all the others.
  void pause();
  /// Puts the probes back; waits for the pause to be complete. `opened` is told when the first may
  /// be hit (CLOCK_MONOTONIC). Does nothing where the keeper holds the window closed: is_paused().
  /// An error says that a process may have less of them than it had.
  using OpenListener = std::function<void(std::uint64_t from_ns)>;
  [[nodiscard]] Result<void> resume(const OpenListener& opened = {});
  /// The probes are not, or not all, where they were put: by pause(), or by whoever else gives the
  /// keeper orders.
  [[nodiscard]] bool is_paused() const {
    return paused_ || keeper_->state().closings != resumed_closings_;
  }

  /// The sampling interval is its base << step from now on.
  void set_sampling_step(std::uint32_t step) { engine_.set_sampling_step(step); }

  /// Takes all probes away, those that acquire first, and follows processes no longer. Counters and
  /// events stay to be read. What is held is let go.
  void detach_all();

  [[nodiscard]] const Engine& engine() const { return engine_; }

 private:
  using Clock = std::chrono::steady_clock;

  using LoaderHooks = std::map<std::uint32_t, std::vector<Link>>;  ///< by module

  struct TracedProcess {
    std::uint32_t image = 0;
    ProcessInfo info;
    std::map<std::uint32_t, FileProbes> probes;  ///< by module; none when children are followed
    std::set<std::uint32_t> looked_at;           ///< modules
    LoaderHooks loader_hooks;                    ///< as probes
    std::vector<Link> entry_hook;
    Clock::time_point next_rescan;  ///< for an unknown address, not before
    Clock::duration rescan_pause{};
    bool stale = false;  ///< an address was unknown before that time
    bool go = false;     ///< runs the Go runtime, which moves stacks: no return trampolines in it
    std::optional<PythonProcess> python;
    std::string declined;             ///< why functions of it are not hooked
    std::set<std::uint32_t> to_see;   ///< modules: are their probes there? Not looked at yet
    std::set<std::uint32_t> missing;  ///< modules whose probes are not in its memory
    const catalog::Translator* translator = nullptr;
  };

  using ProbesByModule = std::map<std::uint32_t, FileProbes>;

  Tracer(std::unique_ptr<LinkKeeper> own_keeper, Engine engine,
         std::unique_ptr<UnwindFollower> unwind, TracerOptions options, TracerListener listener);
  [[nodiscard]] Result<void> add_process(pid_t pid, std::uint32_t flags);
  [[nodiscard]] Result<void> rescan(pid_t pid, UnwindFollower::Tables tables);
  [[nodiscard]] bool learn_code(pid_t pid, TracedProcess& process, const std::vector<Mapping>& maps,
                                UnwindFollower::Tables tables);
  void rescan_for_unknown_code(pid_t pid, TracedProcess& process);
  [[nodiscard]] Result<void> look_at(pid_t pid, TracedProcess& process, const Mapping& mapping,
                                     const std::vector<Mapping>& maps);
  void learn_go(pid_t pid, TracedProcess& process, const std::vector<Mapping>& maps);
  [[nodiscard]] std::size_t count_trampolines(const std::vector<Hook>& hooks) const;
  [[nodiscard]] bool trampolines_are_harmless() const;
  [[nodiscard]] Trampolines trampolines_in(pid_t pid) const;
  [[nodiscard]] const std::vector<Hook>& hooks_of(const Module& module, Trampolines trampolines);
  [[nodiscard]] std::vector<Hook> hooks_in(pid_t pid, const std::vector<Mapping>& maps,
                                           const Module& module);
  void report_unseen_returns(pid_t pid, const TracedProcess& process, const Module& module);
  void learn_libpq(const Module& module, std::vector<Hook>& hooks);
  [[nodiscard]] ProbesByModule& probes_of(TracedProcess& process);
  /// Files in layers of an overlay that are probed in place of the module's.
  [[nodiscard]] std::vector<std::uint32_t> layers_in(const ProbesByModule& probes,
                                                     const Module& module) const;
  [[nodiscard]] std::size_t acquire_functions(const TracedProcess& process,
                                              const Module& module) const;
  [[nodiscard]] CheckedHooks checked_hooks(pid_t pid, const std::vector<Mapping>& maps,
                                           const Mapping& mapping, const Module& module);
  void keep_out_of(TracedProcess& process, const catalog::Translator& translator);
  void see_probes_of(pid_t pid, TracedProcess& process, const std::vector<Mapping>& maps,
                     const Mapping& mapping, const Module& module);
  void see_probes_again();
  [[nodiscard]] bool are_there(pid_t pid, TracedProcess& process, const std::vector<Mapping>& maps,
                               const Mapping& mapping, const Module& module);
  [[nodiscard]] bool probe_layers(pid_t pid, TracedProcess& process,
                                  const std::vector<Mapping>& maps, const Mapping& mapping,
                                  const Module& module);
  [[nodiscard]] bool is_starting(pid_t pid) const;
  [[nodiscard]] bool was_late(pid_t pid) const;
  void hook_loader(pid_t pid, TracedProcess& process, const Module& module);
  [[nodiscard]] Result<void> hook_start(pid_t pid, TracedProcess& process);
  void announce(const Module& module);
  void learn_python(TracedProcess& process, const Mapping& mapping, const Module& module);
  void announce_python(const TracedProcess& process);
  void forget_image(std::uint32_t image);
  void detach_in_background(std::vector<Link> links);
  [[nodiscard]] std::vector<Link> take_links();
  [[nodiscard]] Result<void> attach_again(std::map<std::uint32_t, FileProbes>& probes, pid_t pid);
  void check_again(std::map<std::uint32_t, FileProbes>& probes, pid_t pid);
  void check_again(pid_t pid, const std::vector<Mapping>& maps, const Module& module,
                   FileProbes& of_file);

  std::unique_ptr<LinkKeeper> own_keeper_;
  LinkKeeper* keeper_;
  bool paused_ = false;
  std::uint32_t resumed_closings_ = 0;  ///< of the keeper, when the probes were last put back
  Engine engine_;
  std::unique_ptr<UnwindFollower> unwind_;
  TracerOptions options_;
  TracerListener listener_;
  ModuleTable modules_;
  std::set<std::uint32_t> announced_;
  std::map<std::uint32_t, AddressSpace> images_;
  std::map<pid_t, TracedProcess> processes_;
  using HooksKey = std::pair<std::uint32_t, Trampolines>;
  std::map<HooksKey, std::vector<Hook>> hooks_;  ///< by module, before any is declined
  ProbesByModule shared_probes_;                 ///< when children are followed
  ProbeLosses losses_;
  bool withdrawn_ = false;  ///< probes in all processes would harm one: there are none any more
  std::map<std::uint32_t, std::size_t> shared_trampolines_;  ///< functions with one, by module
  LoaderHooks shared_loader_hooks_;                          ///< when children are followed
  std::uint32_t last_image_ = 0;
  std::set<std::uint32_t> libpqs_;  ///< modules
  Holds holds_;
};

}  // namespace leaktrace::tracer
