// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

#include "user/base/result.h"

namespace leaktrace::analyze {

/// A pattern for names: `*` stands for any characters, `/` and none included, `?` for any one byte;
/// a backslash makes the character behind it an ordinary one. Brackets are ordinary: names of C++
/// are full of them.
class Glob {
 public:
  /// Most bytes of a pattern, so that matching stays cheap. Names may be longer.
  static constexpr std::size_t kMostBytes = 4096;

  /// An empty pattern, a longer one than kMostBytes, one with a NUL and one whose last backslash
  /// has nothing behind it are errors.
  [[nodiscard]] static Result<Glob> parse(std::string text);

  /// Does the pattern fit all of `name`? A name with a NUL is looked at up to there.
  [[nodiscard]] bool matches(const std::string& name) const;
  /// The same of a path: a pattern without a slash is held against its last part alone.
  [[nodiscard]] bool matches_path(const std::string& path) const;
  /// The same of a demangled function: the whole of it, or its qualified name without return type
  /// and arguments.
  [[nodiscard]] bool matches_function(const std::string& function) const;

  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  explicit Glob(std::string text);

  std::string text_;     ///< as it was written
  std::string pattern_;  ///< as fnmatch(3) takes it
  bool has_slash_;
};

}  // namespace leaktrace::analyze
