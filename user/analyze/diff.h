// SPDX-License-Identifier: Apache-2.0
//
// What changed between two recordings, by call site:
//
//   Report ─┐
//           ├─ SiteIdentity: who is who ──▶ groups ──▶ appeared, grew, shrank, gone, same
//   Report ─┘
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "user/analyze/report.h"

namespace leaktrace::analyze {

enum class DiffChange : std::uint8_t { appeared, grew, shrank, gone, same };
inline constexpr std::array kDiffChanges = {DiffChange::appeared, DiffChange::grew,
                                            DiffChange::shrank, DiffChange::gone, DiffChange::same};

/// "appeared", "grew", "shrank", "gone", "same".
[[nodiscard]] std::string_view change_name(DiffChange change);

/// Where a change leads to: what appeared or grew, what shrank or is gone, what is the same.
enum class DiffDirection : std::uint8_t { more, less, same };
[[nodiscard]] DiffDirection direction_of(DiffChange change);

/// `to` less `from`, at most what fits.
[[nodiscard]] std::int64_t difference(std::uint64_t from, std::uint64_t to);

/// The sum of two differences, at most what fits.
[[nodiscard]] std::int64_t saturating_sum(std::int64_t a, std::int64_t b);

/// What one recording has of a site, or of all sites of a kind.
struct DiffAmount {
  std::uint64_t sites = 0;  ///< call sites of that recording that make it up; 0: it has none
  std::uint64_t count = 0;  ///< outstanding when the recording ends, likewise the bytes
  std::uint64_t bytes = 0;
  std::optional<Estimate> estimate;  ///< nothing when the amount is exact
  double bytes_per_second = 0;       ///< change of what is outstanding, as in the report
  double count_per_second = 0;
};

/// 95 % limits of a difference.
struct DifferenceLimits {
  std::int64_t low = 0;
  std::int64_t high = 0;
};

/// Two amounts and what is between them.
struct DiffPair {
  DiffAmount older;
  DiffAmount newer;
  /// By what sampling and pauses leave unknown of either amount; nothing when both are exact.
  std::optional<DifferenceLimits> count_limits;
  std::optional<DifferenceLimits> bytes_limits;

  [[nodiscard]] std::int64_t count_difference() const {
    return difference(older.count, newer.count);
  }
  [[nodiscard]] std::int64_t bytes_difference() const {
    return difference(older.bytes, newer.bytes);
  }
};

struct DiffSite {
  DiffChange change = DiffChange::same;
  /// Of one that is the same: the amounts differ, but 0 is within the limits of the difference.
  bool within_sampling = false;
  bool by_names = false;  ///< recognized by its functions: the code was another build, or may be
  DiffPair amounts;
  /// What it reads like: the largest of its sites in the newer recording, or in the older one where
  /// it is gone. Kind, label, detail and stack are meant, not its amounts.
  ReportSite site;
};

/// Sites of one kind that changed alike, added up.
struct DiffSum {
  std::uint64_t sites = 0;
  std::uint64_t within_sampling = 0;  ///< of those
  std::int64_t count = 0;
  std::int64_t bytes = 0;
};

struct DiffKind {
  DiffPair amounts;
  std::map<DiffChange, DiffSum> changes;  ///< those that there are
};

struct DiffRecording {
  std::string name;  ///< the file, as the user named it
  Report report;
};

struct Diff {
  std::string tool_version;  ///< of who compares; those of who recorded are in the reports
  DiffRecording older;       ///< without sites
  DiffRecording newer;
  std::map<model::Kind, DiffKind> kinds;  ///< all sites, `top` cut or not
  /// Memory, then PostgreSQL's kinds; in each what grew or appeared, what shrank or is gone, what
  /// is the same; in each of those the largest difference first, of PostgreSQL's kinds in number.
  std::vector<DiffSite> sites;
};

struct DiffOptions {
  std::optional<std::size_t> top;  ///< keep only the first N sites of each part of the list
  std::string tool_version;
};

/// Compares two reports that hold all their sites. Amounts are compared as they are, whatever the
/// lengths of the recordings.
///
/// Sites meet as SiteIdentity says: by code first, and what is left over by names of functions,
/// where several sites of a recording may be one. A site that is missing from a recording that
/// samples may have been there: its amount has limits too. A site that was observed for part of the
/// time only, to keep a budget, may have gone on in the rest as it did when it was seen: where the
/// recordings were observed for different shares of the time, that widens the limits. A difference
/// within its limits is no change.
[[nodiscard]] Diff diff_recordings(DiffRecording older, DiffRecording newer,
                                   const DiffOptions& options);

}  // namespace leaktrace::analyze
