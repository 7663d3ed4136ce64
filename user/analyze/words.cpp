// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/words.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <string_view>

namespace leaktrace::analyze {
namespace {

constexpr std::array<std::string_view, 7> kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};

std::string scaled(double amount) {
  std::size_t unit = 0;
  // 1023.95 and not 1024: what would print as "1024.0 KiB" is 1.0 MiB.
  while (unit + 1 < kUnits.size() && amount >= (unit == 0 ? 1023.5 : 1023.95)) {
    amount /= 1024;
    ++unit;
  }
  if (unit == 0) return fmt::format("{:.0f} {}", amount, kUnits[unit]);
  return fmt::format("{:.1f} {}", amount, kUnits[unit]);
}

}  // namespace

std::string human_bytes(std::uint64_t bytes) {
  return scaled(static_cast<double>(bytes));
}

std::string human_byte_difference(std::int64_t bytes) {
  const auto amount = static_cast<double>(bytes);
  return (bytes < 0 ? "-" : bytes > 0 ? "+" : "") + scaled(std::abs(amount));
}

std::string human_byte_rate(double bytes_per_second) {
  if (std::abs(bytes_per_second) < 0.5) return "0 B/s";
  return fmt::format("{}{}/s", bytes_per_second < 0 ? '-' : '+',
                     scaled(std::abs(bytes_per_second)));
}

std::string human_seconds(double seconds) {
  if (seconds < 0) seconds = 0;
  if (seconds < 9.995) {
    std::string text = fmt::format("{:.2f}", seconds);
    while (text.back() == '0') text.pop_back();
    if (text.back() == '.') text.pop_back();
    return text + " s";
  }
  const auto whole = static_cast<std::uint64_t>(std::llround(seconds));
  if (whole < 120) return fmt::format("{} s", whole);
  if (whole < 7200) return fmt::format("{} min {} s", whole / 60, whole % 60);
  if (whole < 172800) return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
  return fmt::format("{} d {} h", whole / 86400, whole % 86400 / 3600);
}

}  // namespace leaktrace::analyze
