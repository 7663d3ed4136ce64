// SPDX-License-Identifier: Apache-2.0
#include <libiberty/demangle.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "user/symbolize/symbolizer.h"

namespace leaktrace::symbolize {
namespace {

// Longer names are real only in generated code, where no person reads them to the end; the
// demangler's work may grow much faster than the name.
constexpr std::size_t kLongestMangled = 16384;

// "::h" and 16 hex digits, at the end of names of Rust's legacy mangling.
std::string_view without_rust_hash(std::string_view name) {
  constexpr std::string_view kMark = "::h";
  constexpr std::size_t kDigits = 16;
  if (name.size() <= kMark.size() + kDigits) return name;
  std::string_view head = name.substr(0, name.size() - kDigits);
  std::string_view digits = name.substr(head.size());
  bool hash = head.ends_with(kMark) && std::all_of(digits.begin(), digits.end(), [](char c) {
                return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
              });
  return hash ? head.substr(0, head.size() - kMark.size()) : name;
}

}  // namespace

std::string demangle(const std::string& symbol) {
  if (!symbol.starts_with('_') || symbol.size() > kLongestMangled) return symbol;
  std::unique_ptr<char, decltype(&std::free)> name(
      ::cplus_demangle(symbol.c_str(), DMGL_AUTO | DMGL_PARAMS | DMGL_ANSI), &std::free);
  if (!name) return symbol;
  return std::string(without_rust_hash(name.get()));
}

}  // namespace leaktrace::symbolize
