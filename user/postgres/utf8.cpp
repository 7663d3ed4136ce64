// SPDX-License-Identifier: Apache-2.0
#include "user/postgres/utf8.h"

#include <cstdint>

namespace leaktrace::postgres {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";
constexpr std::string_view kMore = "…";

std::size_t expected_length(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead < 0xe0) return 2;
  if (lead >= 0xe0 && lead < 0xf0) return 3;
  return lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
}

/// The part of a valid text that fits, cut between two characters.
std::size_t fitting(std::string_view text, std::size_t most) {
  std::size_t end = most;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return end;
}

}  // namespace

std::size_t utf8_length(std::string_view text) {
  if (text.empty()) return 0;
  const std::size_t length = expected_length(static_cast<unsigned char>(text[0]));
  if (length == 0 || length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) return 0;
  }
  const auto second = static_cast<unsigned char>(length > 1 ? text[1] : '\0');
  switch (static_cast<unsigned char>(text[0])) {
    case 0xe0:
      return second >= 0xa0 ? length : 0;  // overlong
    case 0xed:
      return second < 0xa0 ? length : 0;  // a surrogate
    case 0xf0:
      return second >= 0x90 ? length : 0;  // overlong
    case 0xf4:
      return second < 0x90 ? length : 0;  // beyond U+10FFFF
    default:
      return length;
  }
}

std::string clipped_utf8(std::string_view text, std::size_t most) {
  std::string clean;
  while (!text.empty() && clean.size() <= most) {
    const std::size_t length = utf8_length(text);
    clean += length == 0 ? kReplacement : text.substr(0, length);
    text.remove_prefix(length == 0 ? 1 : length);
  }
  if (clean.size() <= most) return clean;
  const bool marked = most >= kMore.size();
  clean.resize(fitting(clean, marked ? most - kMore.size() : most));
  if (marked) clean += kMore;
  return clean;
}

}  // namespace leaktrace::postgres
