// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "user/analyze/findings.h"
#include "user/analyze/words.h"

namespace leaktrace::analyze {
namespace {

std::uint64_t whole(double amount) {
  if (!(amount > 0)) return 0;
  return static_cast<std::uint64_t>(std::min(amount, 1e18));
}

std::string amount(double value, bool in_number) {
  return in_number ? fmt::format("{}", whole(value)) : human_bytes(whole(value));
}

std::string survival(const Survival& survival) {
  if (survival.share < 0.5 || survival.age_seconds <= 0) return "";
  const std::string age = human_seconds(survival.age_seconds);
  if (survival.share >= 1) return fmt::format("; all blocks of {} ago are still alive", age);
  const double percent = std::floor(survival.share * 100);
  return fmt::format("; at least {:.0f} % of the blocks of {} ago are still alive", percent, age);
}

/// In the unit of time in which it is at least 1.
std::string rate(double per_second, bool in_number) {
  constexpr std::array kUnits = {std::pair{1.0, " a second"}, std::pair{3600.0, " an hour"},
                                 std::pair{86400.0, " a day"}};
  if (!in_number && per_second >= 1) return human_byte_rate(per_second).substr(1);
  for (const auto& [seconds, words] : kUnits) {
    const double value = per_second * seconds;
    if (value < 1) continue;
    return in_number ? fmt::format("{:.1f}{}", value, words) : amount(value, false) + words;
  }
  return fmt::format("less than one{} a day", in_number ? "" : " byte");
}

std::string growing(const Findings& found, bool in_number) {
  const Growth& growth = in_number ? found.count : found.bytes;
  if (growth.rise.by_doubling) {
    return fmt::format(
        "floor rose as much each of the last {} times that the time doubled, from {} "
        "to {}{}; {}",
        growth.rise.windows, amount(growth.rise.from, false), amount(growth.rise.to, false),
        survival(found.survival), rate(growth.slope.value, false));
  }
  return fmt::format("floor{} rose in {} of {} windows of {}, from {} to {}{}; {}",
                     in_number ? " of the number" : "", growth.rise.rose, growth.rise.windows,
                     human_seconds(growth.window_seconds), amount(growth.rise.from, in_number),
                     amount(growth.rise.to, in_number), survival(found.survival),
                     rate(growth.slope.value, in_number));
}

std::string_view why_not(Objection objection) {
  switch (objection) {
    case Objection::fell_back:
      return "; it fell before as much as it rises now";
    case Objection::not_record:
      return "; more was outstanding before";
    case Objection::uneven:
      return "; growth came in part of the time only";
    case Objection::slowing:
      return "; growth slows down toward a limit";
    case Objection::stopped:
      return "; growth has stopped";
    case Objection::load:
      return "; it follows the rate of acquiring";
    case Objection::none:
      return "; that may be chance";
    case Objection::too_short:
    case Objection::no_rise:
      return "";
  }
  return "";
}

}  // namespace

std::string describe(const Findings& found, const SiteVerdict& verdict, bool grows_by_count) {
  const bool in_number = found.by_count;
  const Level& level = found.level;
  const Growth& growth = in_number ? found.count : found.bytes;
  const std::string time = human_seconds(level.seconds);
  switch (verdict.verdict) {
    case Verdict::growing:
      return growing(found, grows_by_count);
    case Verdict::one_off:
      return fmt::format("{} came in one go, and nothing has changed for {} of {} windows",
                         amount(level.now, in_number), level.still, level.windows);
    case Verdict::plateau:
      return fmt::format("between {} and {} in the newer half of {}{}",
                         amount(level.half_low, in_number), amount(level.half_high, in_number),
                         time, why_not(growth.rise.objection));
    case Verdict::fluctuating:
      return fmt::format("comes and goes between {} and {} in the newer half of {}{}",
                         amount(level.half_low, in_number), amount(level.half_high, in_number),
                         time, why_not(growth.rise.objection));
    case Verdict::undecided:
      break;
  }
  if (level.windows < 7) {
    return fmt::format(
        "outstanding is {}; {} too few to tell", amount(level.now, in_number),
        level.windows == 1 ? "one window is" : fmt::format("{} windows are", level.windows));
  }
  return fmt::format("floor went from {} to {} in {}{}", amount(growth.rise.from, in_number),
                     amount(growth.rise.to, in_number), human_seconds(growth.seconds),
                     why_not(growth.rise.objection));
}

}  // namespace leaktrace::analyze
