// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/glob.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <utility>

#include "user/analyze/function_name.h"
#include "user/analyze/label.h"

namespace leaktrace::analyze {
namespace {

/// fnmatch(3) would take a bracket for the beginning of a set.
std::string without_sets(const std::string& text) {
  std::string out;
  bool escaped = false;
  for (const char c : text) {
    if (c == '[' && !escaped) out += '\\';
    out += c;
    escaped = c == '\\' && !escaped;
  }
  return out;
}

bool ends_in_lone_backslash(const std::string& text) {
  const std::size_t last = text.find_last_not_of('\\');
  const std::size_t backslashes = text.size() - (last == std::string::npos ? 0 : last + 1);
  return backslashes % 2 == 1;
}

}  // namespace

Glob::Glob(std::string text)
    : text_(std::move(text)),
      pattern_(without_sets(text_)),
      has_slash_(text_.find('/') != std::string::npos) {}

Result<Glob> Glob::parse(std::string text) {
  if (text.empty()) return fail("the pattern is empty", "write * for any name");
  if (text.size() > kMostBytes) {
    return fail(fmt::format("the pattern is longer than {} bytes", kMostBytes),
                "put * in place of a part of it");
  }
  if (text.find('\0') != std::string::npos) return fail("the pattern holds a byte of value 0");
  if (ends_in_lone_backslash(text)) {
    return fail("the pattern ends in a backslash that has nothing behind it",
                "write two for a backslash");
  }
  return Glob(std::move(text));
}

bool Glob::matches(const std::string& name) const {
  return ::fnmatch(pattern_.c_str(), name.c_str(), 0) == 0;
}

bool Glob::matches_path(const std::string& path) const {
  return matches(has_slash_ ? path : std::string(base_name(path)));
}

bool Glob::matches_function(const std::string& function) const {
  return matches(function) || matches(std::string(qualified_name(function)));
}

}  // namespace leaktrace::analyze
