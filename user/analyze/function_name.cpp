// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/function_name.h"

#include <array>
#include <string>

namespace leaktrace::analyze {
namespace {

constexpr std::string_view kOperator = "operator";

bool is_identifier(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         (static_cast<unsigned char>(c) & 0x80) != 0;
}

/// The keyword `operator` stands at `at`, and not the tail or head of another identifier.
bool operator_at(std::string_view name, std::size_t at) {
  if (name.substr(at, kOperator.size()) != kOperator) return false;
  if (at > 0 && is_identifier(name[at - 1])) return false;
  const std::size_t after = at + kOperator.size();
  return after < name.size() && !is_identifier(name[after]);
}

/// The position after `operator` at `at` and the punctuation that belongs to it; for `operator
/// new` and conversions, after the keyword.
std::size_t past_operator(std::string_view name, std::size_t at) {
  const std::size_t after = at + kOperator.size();
  if (name.substr(after, 2) == "()" || name.substr(after, 2) == "[]") return after + 2;
  const std::size_t end = name.find_first_not_of("<>=!+-*/%^&|~,", after);
  return end == std::string_view::npos ? name.size() : end;
}

char closing(char open) {
  switch (open) {
    case '<':
      return '>';
    case '(':
      return ')';
    case '[':
      return ']';
    case '{':
      return '}';
    default:
      return '\0';
  }
}

/// After the arguments: the position of the "::" by which a local entity of the function goes on
/// ("f(int) const::{lambda()#1}"), or npos.
std::size_t scope_after(std::string_view name, std::size_t at) {
  constexpr std::array<std::string_view, 4> kQualifiers = {" const", " volatile", " &&", " &"};
  for (bool again = true; again;) {
    again = false;
    for (std::string_view qualifier : kQualifiers) {
      if (name.substr(at, qualifier.size()) != qualifier) continue;
      at += qualifier.size();
      again = true;
    }
  }
  return name.substr(at, 2) == "::" ? at : std::string_view::npos;
}

bool ends_with_word(std::string_view text, std::string_view word) {
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text.ends_with(word);
}

}  // namespace

bool opens_group(std::string_view name, std::size_t at) {
  if (closing(name[at]) == '\0') return false;
  // Of "operator<<", "operator->" and "operator()" none of the punctuation is a group.
  // No further back than its longest name: names may be long, and this is asked of each bracket.
  constexpr std::size_t kLongestOperator = kOperator.size() + 4;
  const std::size_t from = at < kLongestOperator ? 0 : at - kLongestOperator;
  const std::size_t found = name.substr(from, at - from).rfind(kOperator);
  if (found == std::string_view::npos) return true;
  const std::size_t keyword = from + found;
  return !operator_at(name, keyword) || at >= past_operator(name, keyword);
}

std::size_t past_bracket(std::string_view name, std::size_t open) {
  std::string expected;  // the closing brackets still to come, innermost last
  for (std::size_t i = open; i < name.size(); ++i) {
    if (operator_at(name, i)) {
      i = past_operator(name, i) - 1;
    } else if (const char close = closing(name[i]); close != '\0') {
      expected += close;
    } else if (name[i] == '>' && i > 0 && name[i - 1] == '-') {
      continue;
    } else if (!expected.empty() && name[i] == expected.back()) {
      expected.pop_back();
      if (expected.empty()) return i + 1;
    }
  }
  return std::string_view::npos;
}

std::string_view qualified_name(std::string_view function) {
  std::size_t start = 0;
  bool in_operator = false;  // "operator new", "operator std::string": the blank is in the name
  for (std::size_t i = 0; i < function.size();) {
    if (operator_at(function, i)) {
      i = past_operator(function, i);
      in_operator = true;
    } else if (function.substr(i, 7) == " [clone") {
      return function.substr(start, i - start);
    } else if (function[i] == ' ') {
      ++i;
      if (!in_operator) start = i;
    } else if (closing(function[i]) != '\0') {
      const std::size_t past = past_bracket(function, i);
      if (past == std::string_view::npos) return function;
      const bool plain = function[i] != '(' || function.substr(i, 11) == "(anonymous " ||
                         ends_with_word(function.substr(0, i), "decltype");
      const std::size_t scope = plain ? past : scope_after(function, past);
      if (scope == std::string_view::npos) {
        return i > start ? function.substr(start, i - start) : function;
      }
      in_operator = in_operator && plain;
      i = scope;
    } else {
      ++i;
    }
  }
  return start < function.size() ? function.substr(start) : function;
}

}  // namespace leaktrace::analyze
