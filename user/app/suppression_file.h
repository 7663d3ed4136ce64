// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "user/analyze/suppressions.h"
#include "user/base/result.h"

namespace leaktrace::app {

/// The rules of a suppression file's text, in their order. The file is a YAML list; each entry has
///
///   function, module, source   patterns (analyze::Glob), at least one of them, or
///   kind                       as --kinds takes one: heap, pg.cursor, pg
///   frame                      any (unless told) or innermost
///   reason                     why that is no leak, or is not mended yet; must be there
///   expires                    YYYY-MM-DD, the last day on which it counts
///
/// A text without entries has no rules. Whatever else is not as above is an error that begins with
/// "name:line:column: ". `name` stands for the file there and in each rule's `entry`.
[[nodiscard]] Result<std::vector<analyze::SuppressionRule>> parse_suppressions(
    const std::string& text, const std::string& name);

/// The rules of all of these files. Of a file that cannot be read, or is larger than 1 MiB, the
/// error says so; else as parse_suppressions().
[[nodiscard]] Result<analyze::Suppressions> read_suppressions(
    const std::vector<std::string>& paths);

}  // namespace leaktrace::app
