// SPDX-License-Identifier: Apache-2.0
#include "user/app/option_values.h"

#include <fmt/core.h>

#include <charconv>

namespace leaktrace::app {

std::optional<std::uint64_t> size_of(std::string text) {
  if (text.find('-') != std::string::npos) return std::nullopt;  // CLI11 would wrap it around
  std::uint64_t digits = 0;  // and take what does not fit for the largest number
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), digits);
  if (error == std::errc::result_out_of_range) return std::nullopt;
  try {
    std::uint64_t bytes = 0;
    const std::string wrong = CLI::AsSizeValue(false)(text);
    if (wrong.empty() && CLI::detail::lexical_cast(text, bytes)) return bytes;
  } catch (const CLI::ValidationError&) {  // how that validator says no
  }
  return std::nullopt;
}

CLI::Validator size(std::uint64_t least, std::uint64_t most) {
  const auto parse = [least, most](std::string& text) -> std::string {
    const auto bytes = size_of(text);
    if (!bytes) return fmt::format("'{}' is no size: write for example 4096, 4K or 1M", text);
    if (*bytes < least || *bytes > most) {
      return fmt::format("'{}' is out of range: {} to {} bytes", text, least, most);
    }
    text = std::to_string(*bytes);
    return {};
  };
  return {parse, "SIZE"};
}

CLI::Validator whole_number(const std::string& what, std::uint64_t least, std::uint64_t most) {
  const auto check = [what, least, most](std::string& text) -> std::string {
    std::uint64_t number = 0;
    const char* last = text.data() + text.size();
    const auto [end, error] = std::from_chars(text.data(), last, number);
    if (error == std::errc() && end == last && number >= least && number <= most) return {};
    if (most == UINT64_MAX) return fmt::format("'{}' is no {}", text, what);
    return fmt::format("'{}' is no {}: {} to {}", text, what, least, most);
  };
  return {check, "N"};
}

void refuse_empty_words(const std::vector<std::string>& words) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word.starts_with("--") && word.ends_with('=')) {
      throw CLI::ValidationError(word.substr(0, word.size() - 1), "its value is empty");
    }
    if (!word.empty()) continue;
    const bool of_option = i > 0 && words[i - 1].starts_with('-');
    throw of_option ? CLI::ValidationError(words[i - 1], "its value is empty")
                    : CLI::ValidationError("an argument is empty");
  }
}

}  // namespace leaktrace::app
