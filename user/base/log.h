// SPDX-License-Identifier: Apache-2.0
// Messages to the person at the terminal, on stderr, one line each: "leaktrace: warning: …". No
// terminal obeys what is in them (user/base/printable.h).
#pragma once

#include <fmt/core.h>

#include <string_view>

namespace leaktrace::log {

enum class Level { error, warning, info, debug };

/// The least important level that is still printed. Set once, by the options.
void set_level(Level level);
[[nodiscard]] bool enabled(Level level);
void write(Level level, std::string_view message);

template <typename... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::error, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::warning, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::info)) write(Level::info, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::debug)) write(Level::debug, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace leaktrace::log
