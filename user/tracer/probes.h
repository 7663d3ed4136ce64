// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <vector>

#include "user/base/result.h"
#include "user/catalog/row.h"
#include "user/tracer/engine.h"
#include "user/tracer/hooks.h"
#include "user/tracer/modules.h"

namespace leaktrace::tracer {

/// Names of functions that leaktrace hooks for its own needs.
inline constexpr const char* kLoaderHook = "_dl_debug_state";

/// The probes on one file, for one process or for all.
///
/// They are attached with releases first and acquires last, and detached the other way round: a
/// block whose acquire was seen never has its release missed for want of a probe.
class FileProbes {
 public:
  /// Attaches hooks of the file (find_hooks, check_hooks), which may be none. `pid` -1: all
  /// processes.
  [[nodiscard]] static Result<FileProbes> attach(Engine& engine,
                                                 const std::vector<catalog::Row>& rows,
                                                 const Module& module, pid_t pid,
                                                 const std::vector<Hook>& hooks);

  FileProbes() = default;
  FileProbes(FileProbes&&) = default;
  FileProbes& operator=(FileProbes&& other) noexcept;
  ~FileProbes() { detach(); }

  /// How many functions that acquire are hooked.
  [[nodiscard]] std::size_t acquire_functions() const { return acquire_functions_; }
  void detach();

  /// How many functions are hooked.
  [[nodiscard]] std::size_t functions() const { return functions_; }

  /// Where the file has probes by now, ascending.
  [[nodiscard]] std::vector<std::uint64_t> attached_offsets() const;

  /// Gives the probes away, in the order in which they are to be detached.
  [[nodiscard]] std::vector<Link> take_all_links();
  /// A window was closed: the probes went with it, but those of lasting rows
  /// (catalog::Row::is_lasting). What was attached is remembered for attach_again().
  void window_closed();
  /// Has attach_again() attach these hooks.
  void set_hooks(const Engine& engine, const std::vector<catalog::Row>& rows,
                 const std::vector<Hook>& hooks);
  /// Puts the same probes on the file, those that are not there. The error is ESRCH's when the
  /// process is gone.
  [[nodiscard]] Result<void> attach_again(Engine& engine, const Module& module, pid_t pid);

 private:
  struct Attached {
    EngineProgram program;
    ProbeTargets targets;
  };
  /// Probes that come and go together.
  struct Group {
    std::vector<Attached> attached;  ///< in this order
    std::vector<Link> links;         ///< in the order of attaching

    [[nodiscard]] Result<void> attach(Engine& engine, const Module& module, pid_t pid, bool costly);
    [[nodiscard]] std::vector<Link> take_links();
  };

  Group pausable_;
  Group lasting_;  ///< those of lasting rows
  std::size_t functions_ = 0;
  std::size_t acquire_functions_ = 0;
};

}  // namespace leaktrace::tracer
