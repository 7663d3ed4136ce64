// SPDX-License-Identifier: Apache-2.0
//
// Which call sites grow without bound. How it decides, why so, and where it fails: VERDICT.md.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "user/model/history.h"

namespace leaktrace::analyze {

enum class Verdict { growing, plateau, fluctuating, one_off, undecided };

/// "growing", "plateau", "fluctuating", "one-off", "undecided".
[[nodiscard]] std::string_view verdict_name(Verdict verdict);

/// A site to be judged.
struct VerdictInput {
  const model::History* history = nullptr;  ///< not owned; null or empty: undecided
  std::uint64_t now_ns = 0;    ///< newest reading of its process, or when the process ended
  std::uint64_t since_ns = 0;  ///< no outstanding block is older; on the clock of now_ns
  double work = 0;             ///< of its process by now: as model::Reading::work
};

struct VerdictOptions {
  /// Share of those called growing that may be so by chance, over all sites of one call.
  double false_discovery_rate = 0.01;
  /// A rise must have been watched for so long, or it may be what every program does when it
  /// starts.
  double least_seconds = 20;
};

struct SiteVerdict {
  Verdict verdict = Verdict::undecided;
  /// That the verdict is right, 0 to 1. Of growing: 1 less the chance, over all sites, that it is a
  /// false discovery. Of the others by how much was seen of what they claim.
  double confidence = 0;
  /// Rate over the windows that decided, of the floor where it grows, and its 95 % interval:
  /// Theil-Sen, widened by autocorrelation and by what sampling leaves unknown. Where probes were
  /// attached for part of the time only, it is the rate of what was seen.
  double bytes_per_second = 0;
  double bytes_low = 0;
  double bytes_high = 0;
  double count_per_second = 0;
  double count_low = 0;
  double count_high = 0;
  std::string evidence;  ///< one line of plain words
};

/// Judges all sites of a trace together, because chance is reckoned over all of them. The verdicts
/// are in the order of `sites`. Sites whose bytes are all 0 (kinds without a weight) are judged by
/// number, all others by bytes and by number. Never fails, and no number in it is not finite.
[[nodiscard]] std::vector<SiteVerdict> judge(std::span<const VerdictInput> sites,
                                             const VerdictOptions& options = {});

}  // namespace leaktrace::analyze
