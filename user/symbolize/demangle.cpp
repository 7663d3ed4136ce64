// SPDX-License-Identifier: Apache-2.0
#include <libiberty/demangle.h>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <string_view>

#include "user/symbolize/symbolizer.h"

namespace leaktrace::symbolize {
namespace {

// A mangled name refers back to its own parts, so 200 bytes can stand for gigabytes, and names come
// from files that anyone may have made. The demanglers cannot be told to stop, so the callback that
// gets their output leaves them; in this form they hold no memory but the stack (and Rust's v0 the
// letters of one non-ASCII word).
constexpr std::size_t kLongestName = 32768;

struct Output {
  std::array<char, kLongestName> text;
  std::size_t size = 0;
  std::jmp_buf too_long;
};

extern "C" void append(const char* piece, std::size_t size, void* opaque) {
  auto* output = static_cast<Output*>(opaque);
  if (size > kLongestName - output->size) std::longjmp(output->too_long, 1);
  std::copy_n(piece, size, output->text.data() + output->size);
  output->size += size;
}

using Demangler = decltype(&::cplus_demangle_v3_callback);

bool demangles(Demangler demangler, const char* symbol, Output& output) {
  output.size = 0;
  if (setjmp(output.too_long) != 0) return false;
  return demangler(symbol, DMGL_PARAMS | DMGL_ANSI, &append, &output) != 0;
}

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
  if (!symbol.starts_with('_') || symbol.size() > kLongestName) return symbol;
  Output output;
  for (Demangler demangler : {&::rust_demangle_callback, &::cplus_demangle_v3_callback}) {
    if (demangles(demangler, symbol.c_str(), output)) {
      return std::string(without_rust_hash({output.text.data(), output.size}));
    }
  }
  return symbol;
}

}  // namespace leaktrace::symbolize
