// SPDX-License-Identifier: Apache-2.0
// Which functions of a file are hooked, and where.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "user/catalog/row.h"
#include "user/tracer/elf_reader.h"
#include "user/tracer/mapped_code.h"
#include "user/tracer/modules.h"
#include "user/tracer/probe_site.h"
#include "user/tracer/procfs.h"
#include "user/tracer/safe_returns.h"

namespace leaktrace::tracer {

/// A row of the catalog, and the place of its function in a file.
struct Hook {
  std::uint32_t row = 0;
  ProbeSite site;
  /// Return instructions that are probed to see its calls return; none where that is not needed,
  /// or left to the kernel's trampoline.
  std::vector<ProbeSite> returns;
  std::string declined;         ///< why the function must not be hooked
  std::uint32_t pg_layout = 0;  ///< of a function of libpq: Engine::set_pg_layout; 0: none
  /// Of such a function: pages of 4 KiB between the beginning of the object's code and the probe.
  std::uint16_t code_pages = UINT16_MAX;

  [[nodiscard]] bool has_own_returns() const { return !returns.empty(); }
  /// What the BPF programs are given with the probe (LT_COOKIE_*).
  [[nodiscard]] std::uint64_t cookie() const;
  /// The same, with a probe on one of the returns.
  [[nodiscard]] std::uint64_t return_cookie(const ProbeSite& site) const;
};

/// Functions of a file that are not hooked in a process, though they could be.
struct ProbeLoss {
  std::string path;
  std::uint64_t count = 0;
  std::string why;  ///< "malloc: patched in memory"
};

/// The functions of the file that rows name, each once, with the best place for a probe on a
/// kernel that emulates `emulated`, and with how their returns are seen. Two names of one function
/// (aligned_alloc and memalign in glibc) are hooked by the row that comes first. Where `reader`
/// cannot tell, all are declined.
[[nodiscard]] std::vector<Hook> find_hooks(const std::vector<catalog::Row>& rows,
                                           const Module& module, ElfReader& reader,
                                           const ClassSet& emulated,
                                           Trampolines trampolines = Trampolines::where_safe);

/// Declines the functions whose return is seen at their own return instructions, for this reason.
void decline_own_returns(std::vector<Hook>& hooks, const std::string& why);

/// Leaves out those of functions that none of these files imports, where that is asked for
/// (Applies::once_imported).
[[nodiscard]] std::vector<Hook> imported_hooks(const std::vector<Hook>& hooks,
                                               const std::vector<catalog::Row>& rows,
                                               const std::vector<const Module*>& files);

struct CheckedHooks {
  std::vector<Hook> hooks;
  std::optional<ProbeLoss> loss;
};

/// Leaves out the functions that must not be probed in a process. Where one of them gives resources
/// back, all of the file's functions for that kind are left out: what they acquire would look
/// leaked.
[[nodiscard]] CheckedHooks check_hooks(const std::vector<Hook>& hooks,
                                       const std::vector<catalog::Row>& rows, const Module& module,
                                       const MappedCode& code);

/// Does any process run under a translator (catalog::Translator)? Looks at the mappings of all.
[[nodiscard]] bool is_any_process_translated();

/// For probes that go into all processes: leaves out, too, what must not be probed in any process
/// that maps the file `file`, other than `checked_pid`. A probe on code that a process has patched
/// may crash it, also one that is not traced. Looks at the mappings of every process, some 0.1 ms
/// each.
void check_other_processes(CheckedHooks& checked, const std::vector<catalog::Row>& rows,
                           const Module& module, const Mapping& file, pid_t checked_pid);

}  // namespace leaktrace::tracer
