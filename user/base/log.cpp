// SPDX-License-Identifier: Apache-2.0
#include "user/base/log.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <string>

#include "user/base/file.h"
#include "user/base/printable.h"

namespace leaktrace::log {
namespace {

std::atomic<Level> threshold{Level::warning};

constexpr std::array kPrefixes = {"", "warning: ", "", "debug: "};

}  // namespace

void set_level(Level level) {
  threshold = level;
}

bool enabled(Level level) {
  return level <= threshold;
}

void write(Level level, std::string_view message) {
  if (!enabled(level)) return;
  const std::string line = fmt::format(
      "leaktrace: {}{}\n", kPrefixes[static_cast<std::size_t>(level)], printable_lines(message));
  // Nobody can be told where stderr is closed or full; not through stdio, which would throw.
  (void)write_all(STDERR_FILENO, line);
}

}  // namespace leaktrace::log
