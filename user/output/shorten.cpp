// SPDX-License-Identifier: Apache-2.0
#include "user/output/shorten.h"

#include <algorithm>

#include "user/analyze/function_name.h"
#include "user/base/printable.h"

namespace leaktrace::output {
namespace {

using analyze::opens_group;
using analyze::past_bracket;
using analyze::qualified_name;

constexpr std::string_view kEllipsis = "…";

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos;
       at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

/// "{lambda(int, char)#1}" to "{lambda#1}".
void strip_lambda_arguments(std::string& name) {
  constexpr std::string_view kLambda = "{lambda(";
  for (std::size_t at = name.find(kLambda); at != std::string::npos; at = name.find(kLambda, at)) {
    const std::size_t open = at + kLambda.size() - 1;
    const std::size_t past = past_bracket(name, open);
    if (past == std::string_view::npos) return;
    name.erase(open, past - open);
    at = open;
  }
}

std::string tidy(std::string_view function) {
  std::string name(function);
  replace_all(name, "std::__cxx11::", "std::");
  replace_all(name, "std::basic_string<char, std::char_traits<char>, std::allocator<char> >",
              "std::string");
  replace_all(name, "std::basic_string_view<char, std::char_traits<char> >", "std::string_view");
  replace_all(name, "(anonymous namespace)", "(anonymous)");
  replace_all(name, "> >", ">>");
  replace_all(name, "> >", ">>");  // "> > >": the replacements of one pass do not overlap
  strip_lambda_arguments(name);
  return name;
}

bool is_argument_list(std::string_view name, std::size_t open) {
  return name[open] == '(' && name.substr(open, 11) != "(anonymous)" &&
         past_bracket(name, open) > open + 2;
}

/// Replaces what stands within argument lists by "…".
std::string collapse_arguments(std::string_view name) {
  std::string out;
  for (std::size_t i = 0; i < name.size();) {
    const std::size_t past = opens_group(name, i) ? past_bracket(name, i) : std::string_view::npos;
    if (past == std::string_view::npos) {
      out += name[i++];
      continue;
    }
    if (is_argument_list(name, i)) {
      out += "(…)";
    } else {
      out += name.substr(i, past - i);
    }
    i = past;
  }
  return out;
}

/// Replaces template arguments that stand within `depth` others by "…".
std::string collapse_templates(std::string_view name, std::size_t depth) {
  std::string out;
  for (std::size_t i = 0; i < name.size();) {
    const bool opens = name[i] == '<' && opens_group(name, i);
    const std::size_t past = opens ? past_bracket(name, i) : std::string_view::npos;
    // A Rust "<T as Trait>::method" is no list of arguments: its inside is the name.
    if (past == std::string_view::npos || out.empty()) {
      out += name[i++];
      continue;
    }
    const std::string_view inside = name.substr(i + 1, past - i - 2);
    out += '<';
    out += depth == 0 && !inside.empty() ? std::string(kEllipsis)
                                         : collapse_templates(inside, depth - (depth > 0 ? 1 : 0));
    out += '>';
    i = past;
  }
  return out;
}

}  // namespace

std::string shorten_function(std::string_view function, std::size_t width) {
  std::string name = tidy(function);
  if (columns(name) <= width) return name;
  name = collapse_arguments(name);
  if (columns(name) <= width) return name;
  std::string inner = collapse_templates(name, 1);
  if (columns(inner) <= width) return inner;
  name = collapse_templates(name, 0);
  if (columns(name) <= width) return name;
  name = std::string(qualified_name(name));
  if (columns(name) <= width) return name;
  if (width == 0) return {};
  return std::string(kEllipsis) + std::string(last_columns(name, width - 1));
}

std::string shorten_path(std::string_view path, std::size_t width) {
  if (columns(path) <= width) return std::string(path);
  if (width == 0) return {};
  const std::string_view tail = last_columns(path, width - 1);
  const std::size_t slash = tail.find('/');
  // A file name that does not fit on its own keeps its end, where the extension is.
  return std::string(kEllipsis) +
         std::string(slash == std::string_view::npos ? tail : tail.substr(slash));
}

}  // namespace leaktrace::output
