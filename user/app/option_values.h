// SPDX-License-Identifier: Apache-2.0
// What values of options may be, told in one line when they are not.
#pragma once

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "user/base/result.h"

namespace leaktrace::app {

/// A size in bytes as people write it ("4096", "4K", "1M", by 1024); nothing when it is none.
[[nodiscard]] std::optional<std::uint64_t> size_of(std::string text);

/// Lets a size through, as its number of bytes.
[[nodiscard]] CLI::Validator size(std::uint64_t least = 0, std::uint64_t most = UINT64_MAX);

/// Lets a number without a sign, point or unit through. `what` it is: "number of frames".
[[nodiscard]] CLI::Validator whole_number(const std::string& what, std::uint64_t least = 0,
                                          std::uint64_t most = UINT64_MAX);

/// Offers --format with the names of these formats; `find` gives one by its name. `name` gets what
/// is chosen, and must live as long as the command.
template <class Format>
void add_format_option(CLI::App& command, std::string& name, std::span<const Format> formats,
                       Result<const Format*> (*find)(std::string_view)) {
  std::string help = "Output format (text):";
  for (const Format& format : formats) {
    help += fmt::format("\n  {:<8}{}", format.name, format.summary);
  }
  const auto check = [find](const std::string& chosen) {
    auto format = find(chosen);
    return format ? std::string() : format.error().message();
  };
  command.add_option("--format", name, help)
      ->check(CLI::Validator(check, "FORMAT"))
      ->option_text("FORMAT");
}

/// No option and no argument of leaktrace may be empty, as an unset variable of a script leaves it.
/// Throws as CLI11 wants it.
void refuse_empty_words(const std::vector<std::string>& words);

}  // namespace leaktrace::app
