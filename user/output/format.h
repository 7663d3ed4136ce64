// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "user/analyze/report.h"
#include "user/base/result.h"

namespace leaktrace::output {

/// One way to print a report. A writer never fails: whatever bytes a traced process put into its
/// names, the result is valid in its format.
struct Format {
  std::string_view name;     ///< as --format takes it
  std::string_view summary;  ///< one line for --help
  std::string (*write)(const analyze::Report& report);
};

/// All formats, the default first.
[[nodiscard]] std::span<const Format> formats();

/// The format of that name; an unknown name is an error that lists the known ones. The pointer
/// is valid for the life of the program.
[[nodiscard]] Result<const Format*> find_format(std::string_view name);

}  // namespace leaktrace::output
