// SPDX-License-Identifier: Apache-2.0
#include "user/output/reasons.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/wait.h>

#include <array>
#include <cstring>
#include <ctime>

#include "user/analyze/words.h"
#include "user/base/printable.h"

namespace leaktrace::output {
namespace {

struct LossMeaning {
  std::string_view name;  ///< one of model::kLossNames
  std::string_view meaning;
};

constexpr LossMeaning kLossMeanings[] = {
    {"live_table_full", "acquired, but not counted: the table of live resources was full"},
    {"site_table_full", "acquired, but not counted: the table of call sites was full"},
    {"stack_table_full", "acquired and counted, but without a stack: the table of stacks was full"},
    {"thread_table_full", "calls not seen: the table of threads was full"},
    {"stack_truncated", "distinct stacks that end before the outermost function"},
    {"stack_collision", "stacks that had the same id as another; told apart, nothing is lost"},
    {"ring_overflow",
     "events lost on their way from the kernel: mappings, stacks or processes may be missing"},
    {"missed_release",
     "given back unseen: the same address was acquired again; the old resource was closed (when "
     "sampling, known of samples only)"},
    {"unmatched_release", "given back what was acquired before tracing began: not an error"},
    {"read_fault", "values that could not be read from the process: those calls were not counted"},
    {"abandoned_call", "calls left by longjmp or an exception before they returned: not counted"},
    {"kernel_memory", "not counted: the kernel had no memory for a table entry at that moment"},
    {"process_table_full", "processes not traced: the table of processes was full"},
    {"pg_text_cut", "SQL texts longer than --sql-bytes: what follows was not read"},
    {"pg_unparsed",
     "SQL that PostgreSQL's grammar does not know, read by its words alone: what it opens may be "
     "missing"},
    {"pg_undecided",
     "commands whose effect is not known: their SQL was cut, unseen or not understood, or their "
     "results were never taken; what they opened or closed may be wrong"},
    {"pg_unmatched_close",
     "statements, cursors and the like closed that were opened before tracing began, or unseen: "
     "not "
     "an error"},
    {"pg_table_full", "connections, or what they opened, that found no room: --max-connections"}};

constexpr std::array<std::string_view, 6> kStackEndNames = {"complete", "no_row",     "unreadable",
                                                            "depth",    "no_mapping", "rule"};
constexpr std::array<std::string_view, 6> kStackEndWords = {
    "",
    "no unwind information, and the frame pointer leads nowhere",
    "the stack could not be read",
    "it is deeper than the 127 frames, or those of --stack-depth, that are kept",
    "the code there is in no known mapping",
    "its unwind rule is one that leaktrace does not do"};

std::size_t index(model::StackEnd end) {
  return static_cast<std::size_t>(end);
}

}  // namespace

std::string_view subject_name(model::FileSubject subject) {
  switch (subject) {
    case model::FileSubject::unwind:
      return "unwind";
    case model::FileSubject::symbols:
      return "symbols";
    case model::FileSubject::probes:
      break;
  }
  return "probes";
}

std::string_view loss_meaning(std::string_view loss) {
  for (const LossMeaning& known : kLossMeanings) {
    if (known.name == loss) return known.meaning;
  }
  return {};
}

std::string loss_words(const analyze::Report& report) {
  std::string words;
  for (std::size_t i = 0; i < report.losses.size(); ++i) {
    if (report.losses[i] == 0) continue;
    words +=
        fmt::format("{}{} {}", words.empty() ? "" : ", ", report.losses[i], model::kLossNames[i]);
  }
  if (const std::size_t files = report.file_losses.size(); files > 0) {
    words += fmt::format("{}{} file{} not read or probed whole", words.empty() ? "" : ", ", files,
                         files == 1 ? "" : "s");
  }
  return words.empty() ? "no losses" : "losses: " + words;
}

std::string_view unseen_subject_name(model::UnseenSubject what) {
  switch (what) {
    case model::UnseenSubject::allocator:
      return "allocator";
    case model::UnseenSubject::file:
      return "file";
    case model::UnseenSubject::process:
      return "process";
    case model::UnseenSubject::work:
      return "work";
    case model::UnseenSubject::socket:
      return "socket";
    case model::UnseenSubject::resource:
      break;
  }
  return "resource";
}

std::string not_seen_words(const model::NotSeen& not_seen) {
  const std::string name = printable(not_seen.name);
  switch (not_seen.what) {
    case model::UnseenSubject::allocator:
      return fmt::format("the heap of {} is not seen", name);
    case model::UnseenSubject::process:
      return fmt::format("process {} is not seen", name);
    default:
      return fmt::format("{} is not seen", name);
  }
}

std::string not_seen_words(const analyze::Report& report) {
  if (report.not_seen.empty()) return {};
  std::string words = not_seen_words(report.not_seen.front());
  if (const std::size_t more = report.not_seen.size() - 1; more > 0) {
    words += fmt::format(", and {} more", more);
  }
  return words;
}

std::string not_seen_sentence(const model::NotSeen& not_seen) {
  std::string words = fmt::format("{}: {}", not_seen_words(not_seen), printable(not_seen.why));
  if (!not_seen.advice.empty()) words += "; try: " + printable(not_seen.advice);
  return words;
}

std::string_view stack_end_name(const analyze::ReportSite& site) {
  if (site.stack_missing) return "missing";
  const std::size_t end = index(site.stack_end);
  return end < kStackEndNames.size() ? kStackEndNames[end] : "unknown";
}

std::string stack_cut_words(const analyze::ReportSite& site) {
  if (site.stack_missing)
    return "no stack: none was asked for, the tables of stacks were full, or its event was lost";
  if (site.stack_complete) return {};
  const std::size_t end = index(site.stack_end);
  return fmt::format("stack cut here: {}", end > 0 && end < kStackEndWords.size()
                                               ? kStackEndWords[end]
                                               : "for a reason this leaktrace does not know");
}

std::string stack_guess_words(const analyze::ReportSite& site) {
  if (site.by_frame_pointer == 0) return {};
  return fmt::format("{} followed by frame pointers: their code has no unwind information",
                     site.by_frame_pointer == 1
                         ? std::string("1 frame was")
                         : fmt::format("{} frames were", site.by_frame_pointer));
}

std::string exit_words(const analyze::ReportTarget& target) {
  if (!target.exited) return {};
  if (!target.wait_status) return "exited";
  const int status = static_cast<int>(*target.wait_status);
  if (WIFEXITED(status)) return fmt::format("exited with status {}", WEXITSTATUS(status));
  if (!WIFSIGNALED(status)) return fmt::format("ended with wait status {:#x}", *target.wait_status);
  const char* name = sigabbrev_np(WTERMSIG(status));
  std::string words = fmt::format("was killed by signal {}", WTERMSIG(status));
  if (name != nullptr) words += fmt::format(" (SIG{})", name);
  if (WCOREDUMP(status)) words += " and dumped core";
  return words;
}

std::string target_words(const analyze::Report& report, std::size_t most) {
  if (report.targets.empty()) return "none";
  std::string words;
  for (std::size_t i = 0; i < std::min(most, report.targets.size()); ++i) {
    const analyze::ReportTarget& target = report.targets[i];
    words += fmt::format("{}{} ({})", i == 0 ? "" : ", ", printable(target.comm), target.pid);
  }
  if (report.targets.size() > most) {
    words += fmt::format(" and {} more", report.targets.size() - most);
  }
  return words;
}

std::string owner_words(const analyze::ReportSite& site) {
  if (site.pid == 0) return "unknown process";
  return fmt::format("{} ({})", printable(site.comm), site.pid);
}

std::string utc_time(std::int64_t unix_ns) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  // Floor, so that times before 1970 stay ordered too.
  const std::int64_t seconds = unix_ns / kSecond - (unix_ns % kSecond < 0 ? 1 : 0);
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(seconds)));
}

}  // namespace leaktrace::output
