// SPDX-License-Identifier: Apache-2.0
// What the numbers and causes of a report mean, in words.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "user/analyze/report.h"

namespace leaktrace::output {

/// What a loss (one of model::kLossNames) means for the reader of a report; empty for others.
[[nodiscard]] std::string_view loss_meaning(std::string_view loss);

/// "unwind", "symbols" or "probes": what was wanted of a file.
[[nodiscard]] std::string_view subject_name(model::FileSubject subject);

/// What was lost, in one line: "no losses", "losses: 12 ring_overflow, 3 read_fault, 1 file not
/// read or probed whole".
[[nodiscard]] std::string loss_words(const analyze::Report& report);

/// "allocator", "file" …: what of a trace is not seen.
[[nodiscard]] std::string_view unseen_subject_name(model::UnseenSubject what);

/// What is not seen: "the heap of /usr/bin/server is not seen". Printable.
[[nodiscard]] std::string not_seen_words(const model::NotSeen& not_seen);

/// The same of the first of a report, and how many more there are; empty when there are none.
[[nodiscard]] std::string not_seen_words(const analyze::Report& report);

/// What is not seen, why, and what to do: "the heap of … is not seen: …; try: …". Printable.
[[nodiscard]] std::string not_seen_sentence(const model::NotSeen& not_seen);

/// A name for programs: "complete", "no_row", …; "missing" when nothing is known of the stack.
[[nodiscard]] std::string_view stack_end_name(const analyze::ReportSite& site);

/// "stack cut here: no unwind information…", or empty when the stack is complete.
[[nodiscard]] std::string stack_cut_words(const analyze::ReportSite& site);

/// How much of the stack rests on frame pointers only, or empty when nothing does.
[[nodiscard]] std::string stack_guess_words(const analyze::ReportSite& site);

/// "exited with status 1", "was killed by signal 9 (SIGKILL)", or empty when it has not ended.
[[nodiscard]] std::string exit_words(const analyze::ReportTarget& target);

/// "server (1234)"; of many targets the first `most` and "and 3 more". Printable.
[[nodiscard]] std::string target_words(const analyze::Report& report, std::size_t most);

/// "server (1234)", for the process that a site belongs to. Printable.
[[nodiscard]] std::string owner_words(const analyze::ReportSite& site);

/// Wall-clock time in UTC: "2026-01-01T00:00:00Z".
[[nodiscard]] std::string utc_time(std::int64_t unix_ns);

}  // namespace leaktrace::output
