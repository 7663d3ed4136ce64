// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "user/analyze/diff.h"
#include "user/base/result.h"

namespace leaktrace::output {

/// One way to print the difference of two recordings; as Format is for one.
struct DiffFormat {
  std::string_view name;     ///< as --format takes it
  std::string_view summary;  ///< one line for --help
  std::string (*write)(const analyze::Diff& diff);
};

/// All formats, the default first.
[[nodiscard]] std::span<const DiffFormat> diff_formats();

/// The format of that name; an unknown name is an error that lists the known ones. The pointer
/// is valid for the life of the program.
[[nodiscard]] Result<const DiffFormat*> find_diff_format(std::string_view name);

}  // namespace leaktrace::output
