// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/output/sample_diff.h"

#include <string>
#include <utility>

#include "tests/unit/output/sample_report.h"

namespace leaktrace::output {
namespace {

using analyze::Diff;
using analyze::Report;
using analyze::ReportSite;

constexpr std::uint64_t kKiB = 1024;
constexpr std::uint64_t kMiB = kKiB * kKiB;

Diff diff_of(Report older, Report newer) {
  return analyze::diff_recordings({"old.ltr", std::move(older)}, {"new.ltr", std::move(newer)},
                                  {.top = {}, .tool_version = "0.1.0"});
}

/// The same process started again.
void restart(Report& report, std::uint32_t pid) {
  report.targets.front().pid = pid;
  for (ReportSite& site : report.sites) site.pid = pid;
  report.start_unix_ns += 86'400'000'000'000;
}

/// One more site of the report's first process: the stack of the first site with another innermost
/// function.
ReportSite& add_site(Report& report, const std::string& function, std::uint64_t offset,
                     std::uint64_t count, std::uint64_t bytes) {
  ReportSite site = report.sites.front();
  site.label = function;
  site.stack.front().source.function = function;
  site.stack.front().offset = offset;
  site.outstanding_count = count;
  site.outstanding_bytes = bytes;
  site.bytes_per_second = site.count_per_second = 0;
  return report.sites.emplace_back(std::move(site));
}

/// Every file of the program was built anew: other build ids, other offsets.
void rebuild(Report& report) {
  for (ReportSite& site : report.sites) {
    for (analyze::ReportFrame& frame : site.stack) {
      if (!frame.build_id.empty()) frame.build_id = "ef56ab78";
      frame.offset += 0x40;
      if (frame.source.line > 0) ++frame.source.line;
    }
  }
}

}  // namespace

Diff plain_diff() {
  Report older = plain_report();
  Report newer = plain_report();
  add_site(older, "buffer_up", 0x140, 8, 64 * kKiB);
  add_site(older, "retired", 0x160, 2, 2 * kKiB);
  add_site(older, "load_table", 0x180, 1, 16 * kKiB);
  restart(newer, 4321);
  newer.seconds = 600;
  newer.intervals = 600;
  newer.sites.front().outstanding_count *= 10;
  newer.sites.front().outstanding_bytes *= 10;
  add_site(newer, "buffer_up", 0x140, 4, 32 * kKiB);
  add_site(newer, "introduced", 0x1a0, 10, 10 * kKiB).bytes_per_second = 17.1;
  add_site(newer, "load_table", 0x180, 1, 16 * kKiB);
  return diff_of(std::move(older), std::move(newer));
}

Diff empty_diff() {
  return diff_of(empty_report(), empty_report());
}

Diff sampled_diff() {
  Report older = sampled_report();
  Report newer = sampled_report();
  restart(newer, 4321);
  ReportSite& many = newer.sites.front();
  many.outstanding_count = 101'353;
  many.outstanding_bytes = 20 * kMiB;
  many.estimate = {40, {72'000, 139'000}, {14 * kMiB, 28 * kMiB}, 0, 0};
  many.bytes_per_second = 349'525;
  ReportSite& once = newer.sites[1];
  once.stack.front().offset += 0x400;  // another line of the same code
  once.label = "seen_once_now";
  newer.sites[2].outstanding_count = 3;
  newer.sites[2].outstanding_bytes = 12'288;
  older.sites[1].stack.front().offset += 0x200;
  return diff_of(std::move(older), std::move(newer));
}

Diff awkward_diff() {
  Report older = awkward_report();
  Report newer = awkward_report();
  rebuild(newer);
  newer.sites[0].outstanding_count *= 3;
  newer.sites[0].outstanding_bytes *= 3;
  newer.sites[4].outstanding_count = 3;
  newer.sites.erase(newer.sites.begin() + 3);
  newer.cut_off = false;
  newer.final = true;
  newer.losses = {};
  newer.file_losses.clear();
  newer.filters.clear();
  return diff_of(std::move(older), std::move(newer));
}

Diff postgres_diff() {
  Report older = postgres_report();
  Report newer = postgres_report();
  restart(newer, 4321);
  for (ReportSite& site : newer.sites) {
    if (site.kind == model::Kind::pg_cursor) site.outstanding_count += 40;
    if (site.kind == model::Kind::pg_result) site.outstanding_count -= 1;
  }
  std::erase_if(older.sites,
                [](const ReportSite& site) { return site.kind == model::Kind::pg_statement; });
  return diff_of(std::move(older), std::move(newer));
}

}  // namespace leaktrace::output
