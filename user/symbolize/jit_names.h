// SPDX-License-Identifier: Apache-2.0
// The names that a just-in-time compiler gave its code, from the text of a perf map.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "user/model/record.h"

namespace leaktrace::symbolize {

/// What a perf map calls a piece of code, in parts where its form is known: V8's
/// "JS:*fn file.js:12:3" and its older "LazyCompile:", "Function:", "Script:" and "Eval:" are split
/// into function, file and line. Other names (Java, LuaJIT, .NET) stay whole, as the function.
[[nodiscard]] model::SourceFrame split_jit_name(std::string_view name);

/// Address to name, from lines "START SIZE name" in hex, of which each takes the place of the
/// earlier ones that it overlaps: the compiler has used their memory anew. Bounded: when
/// `max_bytes` are taken, further names are left out and counted.
class JitNames {
 public:
  /// A line that is longer is no name of anything; it counts as malformed.
  static constexpr std::size_t kLongestLine = 16384;

  explicit JitNames(std::size_t max_bytes = std::size_t{64} << 20) : max_bytes_(max_bytes) {}

  /// Reads the whole lines at the beginning of `text` and returns how many bytes they take; what
  /// follows the last line break is the caller's to bring again. A piece of kLongestLine bytes
  /// without a line break is taken as part of a malformed line.
  std::size_t read(std::string_view text);
  /// Forgets the names and the unfinished line, not the counts.
  void clear();

  /// The name of the code at `address`, or null.
  [[nodiscard]] const std::string* find(std::uint64_t address) const;
  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  [[nodiscard]] std::uint64_t malformed() const { return malformed_; }
  [[nodiscard]] std::uint64_t left_out() const { return left_out_; }

 private:
  struct Entry {
    std::uint64_t end;
    std::string name;
  };
  using Entries = std::map<std::uint64_t, Entry>;

  void read_line(std::string_view line);
  void add(std::uint64_t begin, std::uint64_t end, std::string_view name);
  void remove_overlapping(std::uint64_t begin, std::uint64_t end);
  [[nodiscard]] static std::size_t cost(std::string_view name);

  Entries entries_;  ///< by begin, without overlap
  std::size_t max_bytes_;
  std::size_t bytes_ = 0;
  bool in_long_line_ = false;
  std::uint64_t malformed_ = 0;
  std::uint64_t left_out_ = 0;
};

}  // namespace leaktrace::symbolize
