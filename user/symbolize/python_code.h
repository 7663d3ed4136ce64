// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "user/model/record.h"

namespace leaktrace::symbolize {

/// Where the characters of CPython's strings begin (Include/cpython/unicodeobject.h): they differ
/// between releases.
struct PythonStrings {
  std::size_t ascii_data = 0;  ///< sizeof(PyASCIIObject)
  std::size_t other_data = 0;  ///< sizeof(PyCompactUnicodeObject)
};

/// The text of a str object that was copied from memory, as UTF-8; what was not copied is left out.
/// Empty when the bytes are no string of the compact form that names have.
[[nodiscard]] std::string python_string(std::span<const std::uint8_t> object,
                                        const PythonStrings& strings);

/// A code object as it was copied: what names its instructions.
class PythonCode {
 public:
  /// `lines`: the content of co_linetable, of the format of CPython 3.11 on (Objects/locations.md);
  /// empty when it is not known.
  PythonCode(std::string file, std::string function, std::int32_t first_line,
             std::vector<std::uint8_t> lines);

  /// The frame whose instruction is at `offset` bytes from the first. Line 0 where none is known.
  [[nodiscard]] model::SourceFrame at(std::int64_t offset) const;

 private:
  [[nodiscard]] std::int64_t line_of(std::int64_t unit) const;

  std::string file_;
  std::string function_;
  std::int32_t first_line_;
  std::vector<std::uint8_t> lines_;
};

}  // namespace leaktrace::symbolize
