// SPDX-License-Identifier: Apache-2.0
//
// What every output prints, decided once. The fields are those of the JSON contract (design,
// section 8), so that text, JSON, folded stacks and flame graph cannot disagree.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "user/analyze/connections.h"
#include "user/analyze/estimate.h"
#include "user/analyze/memory.h"
#include "user/analyze/suppressions.h"
#include "user/analyze/verdict.h"
#include "user/base/result.h"
#include "user/model/record.h"
#include "user/model/trace.h"

namespace leaktrace::analyze {

struct ReportFrame {
  model::SourceFrame source;
  std::string module;         ///< path of the file, as the process sees it; empty when unknown
  std::string build_id;       ///< lower-case hex; empty when unknown
  std::uint64_t offset = 0;   ///< address of the call within the module, as addr2line takes it
  std::uint64_t address = 0;  ///< return address in the process
};

struct ReportBlock {
  std::uint64_t handle = 0;
  std::uint64_t size = 0;
  double age_seconds = 0;
  double stands_for = 1;  ///< blocks, when the trace samples
};

/// What the resources of a site of PostgreSQL's kinds are: see model::SiteDetail.
struct ReportDetail {
  std::string sql;
  std::string connection;
  std::string state;
  std::vector<std::string> names;
  std::uint64_t connections = 0;
};

struct ReportSite {
  std::uint32_t pid = 0;  ///< 0: the trace does not say whose site it is
  std::string comm;
  model::Kind kind = model::Kind::heap;
  std::string label;  ///< the function that a person would name this site by
  Verdict verdict = Verdict::undecided;
  double confidence = 0;
  std::string evidence;
  std::uint64_t outstanding_count = 0;
  std::uint64_t outstanding_bytes = 0;
  std::optional<Estimate> estimate;  ///< of what is outstanding; nothing when that is exact
  model::Counters total;             ///< of all blocks, whatever their size and age
  /// Of all blocks whatever their size and age: what the verdict rests on (SiteVerdict). Where it
  /// is undecided, the change of outstanding bytes a second from the first reading of the process's
  /// counters to the newest, first to last. 0 with one reading.
  double bytes_per_second = 0;
  double count_per_second = 0;
  /// 95 % limits of bytes_per_second, by what sampling leaves unknown and by the share of the time
  /// that was not observed; the rate itself where neither is.
  double growth_low = 0;
  double growth_high = 0;
  double count_low = 0;  ///< likewise of count_per_second
  double count_high = 0;
  /// Of a growing site of memory: until the memory limit of its process is reached at its rate.
  std::optional<double> seconds_to_limit;
  std::optional<ReportDetail> detail;
  double oldest_seconds = 0;
  bool oldest_exact = false;  ///< false: no block that was seen is older; it may be younger
  bool stack_complete = false;
  model::StackEnd stack_end = model::StackEnd::complete;
  std::uint32_t by_frame_pointer = 0;  ///< raw frames whose caller no unwind information gave
  bool stack_missing = false;       ///< the stack found no room in a table: nothing is known of it
  std::vector<ReportFrame> stack;   ///< innermost first, inlined frames expanded
  std::vector<ReportBlock> blocks;  ///< largest first; only when asked for
};

struct ReportTarget {
  std::uint32_t pid = 0;
  std::string comm;
  std::string exe;
  std::string cgroup;
  bool exited = false;
  std::optional<std::uint32_t> wait_status;
  std::optional<ReportMemory> memory{};  ///< nothing when it was not read
};

struct Report {
  std::string tool_version;
  std::vector<ReportTarget> targets;
  std::int64_t start_unix_ns = 0;
  double seconds = 0;
  std::uint32_t intervals = 0;
  bool final = false;    ///< the trace is over; else one interval of a running one
  bool cut_off = false;  ///< from a recording that ends in the middle; set by who reads one

  std::uint64_t sampling_bytes = 0;      ///< mean bytes from sample to sample; 0: exact
  std::uint64_t sampling_bytes_now = 0;  ///< as the budget has it by now
  std::optional<double> budget_percent;
  double duty_percent = 100;  ///< share of the period in which probes were attached

  std::uint64_t probe_hits = 0;
  double nanoseconds_per_hit = 0;
  double percent_of_target_cpu = 0;

  model::Losses losses{};
  /// What could not be read of which file: those of the trace, by path; the caller may add to them.
  std::vector<model::FileLoss> file_losses;
  /// What could not be seen at all: see analyze/not_seen.h.
  std::vector<model::NotSeen> not_seen;
  /// Call stacks that held nothing and were dropped because the tables were full: no loss, but what
  /// they acquired and released is in no site.
  std::uint64_t stacks_recycled = 0;

  // Over all sites that the filters let through, `top` cut or not. PostgreSQL's kinds apart: the
  // memory of a result is in blocks of the heap.
  std::uint64_t all_sites = 0;
  std::uint64_t all_outstanding_count = 0;
  std::uint64_t all_outstanding_bytes = 0;
  /// Of all kinds, those whose verdict is growing, and their rates together.
  std::uint64_t growing_sites = 0;
  double growing_bytes_per_second = 0;
  std::optional<Estimate> all_estimate;
  /// By kind, of those that were seen at all; whatever their age and size.
  std::map<model::Kind, model::Counters> postgres;
  /// Which filters were applied, in words for the report's head; empty when none.
  std::string filters;

  /// Of memory, most outstanding bytes first; then PostgreSQL's, most in number first.
  std::vector<ReportSite> sites;

  /// What was left out of `sites`, one element a rule; see Suppressions. In the totals it is
  /// counted.
  std::vector<SuppressionUse> suppressed;
  std::uint64_t suppressed_sites = 0;  ///< of memory, over all rules

  std::uint64_t all_connections = 0;          ///< to PostgreSQL
  std::vector<ReportConnection> connections;  ///< those that hold most, most first
};

struct ReportOptions {
  std::optional<std::size_t> top;       ///< keep only the first N sites, of memory and of the rest
  std::optional<double> older_seconds;  ///< only blocks at least this old
  std::uint64_t min_size = 0;           ///< only blocks of at least this size
  std::uint64_t max_size = UINT64_MAX;  ///< only blocks of at most this size
  std::vector<model::Kind> kinds;       ///< empty: all
  bool show_blocks = false;
};

/// Names of a raw frame: inlined functions first. Never empty: an unknown frame has one SourceFrame
/// without a function.
using Namer =
    std::function<std::vector<model::SourceFrame>(const model::Trace&, const model::RawFrame&)>;

/// Builds the report of a trace as it stands. A site without outstanding resources is left out.
/// Those that grow come first; then sites come by outstanding bytes, then count, most first, then
/// by label and key, so that one trace always gives one report.
///
/// Options that look at single blocks (older, size, show_blocks) need a walk of blocks in the
/// trace; asking for them without one is an error that says so. With them, outstanding counts and
/// bytes are those of the blocks that pass. A size limit that the trace was already taken with
/// filters nothing more and needs no walk.
///
/// When the trace samples, amounts are estimates with limits. What was acquired while no probe was
/// attached is in no number; duty_percent says how much that may be.
///
/// What only the caller knows is left as it is made: cut_off, suppressed, suppressed_sites.
[[nodiscard]] Result<Report> build_report(const model::Trace& trace, const ReportOptions& options,
                                          const Namer& namer);

}  // namespace leaktrace::analyze
