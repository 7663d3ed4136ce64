// SPDX-License-Identifier: Apache-2.0
#include "user/base/log.h"

#include <array>
#include <atomic>
#include <cstdio>

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
  fmt::print(stderr, "leaktrace: {}{}\n", kPrefixes[static_cast<std::size_t>(level)], message);
}

}  // namespace leaktrace::log
