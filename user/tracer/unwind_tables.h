// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "leaktrace/unwind_abi.h"
#include "user/base/result.h"
#include "user/base/strong_id.h"
#include "user/tracer/interval_pool.h"
#include "user/tracer/mapped_array.h"
#include "user/tracer/unwind_rows.h"
#include "user/unwind/table.h"

namespace leaktrace::tracer {

/// A file's unwind information in the kernel. The default value is no file: code of it is followed
/// by frame pointers.
using UnwindModule = StrongId<struct UnwindModuleTag, uint32_t>;

/// The maps of bpf/lib/unwind.bpf.h; not owned.
struct UnwindMapFds {
  int rows = -1;
  int pages = -1;
  int ranges = -1;
  int rules = -1;
  int procs = -1;
};

/// One executable mapping of a process.
struct UnwindMapping {
  uint64_t start = 0;
  uint64_t end = 0;
  uint64_t file_offset = 0;
  UnwindModule module;  ///< default: anonymous code (JIT), or a file that was refused
  bool operator==(const UnwindMapping&) const = default;
};

/// What is loaded and what found no room.
struct UnwindUsage {
  uint64_t row_bytes = 0;  ///< kernel memory of rows
  uint64_t modules = 0;
  uint64_t processes = 0;
  uint64_t ranges = 0;
  uint64_t refused_modules = 0;    ///< over the bound of memory: followed by frame pointers only
  uint64_t refused_processes = 0;  ///< calls of set_process that found no room
  double waited_seconds = 0;       ///< for tables that are not put off (UnwindFollower)
  uint64_t pending = 0;            ///< tables on their way (UnwindFollower)
};

/// Keeps the BPF unwinder's maps: unwind information is loaded once a file and shared by all
/// processes that map it.
///
///     module = add_table(key, table)  ─┐ a file's table is loaded once; find(key) is its handle
///     vdso   = add_vdso()              ├─▶ set_process(tgid, executable mappings)
///     none   = UnwindModule{}         ─┘        │ on exit: drop_process(tgid)
///                                               ▼
///                                     drop_unused_modules(for how long)
///
/// The kernel side looks processes up by tgid, so a vfork child needs its own set_process.
class UnwindTables {
 public:
  /// `fds` must outlive this. `most_row_bytes`: bound of the rows' kernel memory (libc takes about
  /// 0.2 MB, libLLVM 7 MB; it is spent in steps of 512 KiB).
  [[nodiscard]] static Result<UnwindTables> create(const UnwindMapFds& fds,
                                                   uint64_t most_row_bytes);

  using Clock = std::chrono::steady_clock;

  /// What a program may still be reading is not written over for this long. Programs read for
  /// microseconds; even one that is preempted is done by then.
  static constexpr std::chrono::milliseconds kRetirement{500};

  /// The handle of a file whose table is loaded. The key names the content (see
  /// unwind::FileIdentity).
  [[nodiscard]] std::optional<UnwindModule> find(const std::string& key) const;

  /// Loads a table under a new key. Fails when the bound of memory is reached; the caller then maps
  /// the file with UnwindModule{}.
  [[nodiscard]] Result<UnwindModule> add_table(const std::string& key, const unwind::Table& table);

  /// Was this key's table refused for memory, and has none been freed since?
  [[nodiscard]] bool is_refused(const std::string& key) const { return refused_.contains(key); }

  /// find(), or the table of an open file, read now. Fails as add_table() does and when the file
  /// cannot be read as a 64-bit ELF file. Does not take ownership of `elf_fd`.
  [[nodiscard]] Result<UnwindModule> add_module(const std::string& key, int elf_fd);

  /// The handle of the [vdso] mapping, which is the same in all 64-bit processes.
  [[nodiscard]] Result<UnwindModule> add_vdso();

  /// Replaces what is known of a process. Mappings in any order, not overlapping. On failure the
  /// process keeps what it had.
  [[nodiscard]] Result<void> set_process(uint32_t tgid, std::span<const UnwindMapping> mappings);

  /// Forgets a process (exit, exec). Unknown ones are ignored.
  void drop_process(uint32_t tgid);

  /// Frees the modules that no process has mapped for this long, and returns their number. Their
  /// handles end. Less than kRetirement is only for when no program runs.
  size_t drop_unused_modules(Clock::duration unused_for);

  [[nodiscard]] UnwindUsage usage() const;

 private:
  struct Module {
    std::string key;
    uint64_t base = 0;
    std::vector<unwind::Segment> segments;
    uint32_t first_page = 0;
    uint32_t pages = 0;
    uint32_t users = 0;  ///< processes that map it
    Clock::time_point unused_since;
  };
  struct Process {
    lt_unwind_process value{};
    std::vector<lt_unwind_range> ranges;
    std::set<uint32_t> modules;
  };
  /// A slice of ranges that a program may still be reading.
  struct Retired {
    Clock::time_point since;
    uint32_t first;
    uint32_t count;
  };
  struct RuleOrder {
    bool operator()(const lt_unwind_rule& a, const lt_unwind_rule& b) const;
  };

  UnwindTables(const UnwindMapFds& fds, UnwindRows rows, MappedArray<lt_unwind_page> pages,
               MappedArray<lt_unwind_range> ranges, MappedArray<lt_unwind_rule> rules);

  [[nodiscard]] bool store_pages(const unwind::Table& table, uint32_t first_page);
  void remove_pages(uint32_t first, uint32_t stored);
  [[nodiscard]] uint64_t shared_rule(const lt_unwind_rule& rule);
  [[nodiscard]] lt_unwind_range range_of(const UnwindMapping& mapping) const;
  [[nodiscard]] std::vector<lt_unwind_range> ranges_of(std::span<const UnwindMapping> sorted) const;
  [[nodiscard]] Result<lt_unwind_process> publish(uint32_t tgid,
                                                  const std::vector<lt_unwind_range>& ranges,
                                                  const Process* old);
  [[nodiscard]] std::optional<uint32_t> take_ranges(uint32_t count);
  void let_go(const Process& process);

  UnwindMapFds fds_;
  UnwindRows rows_;
  MappedArray<lt_unwind_page> pages_;
  MappedArray<lt_unwind_range> ranges_;
  MappedArray<lt_unwind_rule> rules_;
  IntervalPool free_pages_;
  IntervalPool free_ranges_;
  std::deque<Retired> retired_;
  std::map<lt_unwind_rule, uint32_t, RuleOrder> rule_index_;
  std::map<uint32_t, Module> modules_;
  std::map<std::string, uint32_t> by_key_;
  std::set<std::string> refused_;  ///< not read again until memory is freed
  std::map<uint32_t, Process> processes_;
  uint32_t last_module_ = 0;
  uint64_t last_generation_ = 0;
  uint64_t refused_modules_ = 0;
  uint64_t refused_processes_ = 0;
};

}  // namespace leaktrace::tracer
