// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace leaktrace::output {

/// A demangled function in at most `width` columns, for display; the JSON report has it whole.
/// Always: std::string for basic_string<char, …>, "(anonymous)" for "(anonymous namespace)",
/// "{lambda#1}" for "{lambda(…)#1}". Then, as far as it takes to fit: arguments become "(…)",
/// templates lose their inner arguments ("map<int, pair<…>>"), then all ("map<…>"), the return
/// type and arguments go, and at the last the beginning is cut off behind a "…". `function` must
/// be valid UTF-8.
[[nodiscard]] std::string shorten_function(std::string_view function, std::size_t width);

/// A path in at most `width` columns: directories go from the front ("…/src/main.rs").
[[nodiscard]] std::string shorten_path(std::string_view path, std::size_t width);

}  // namespace leaktrace::output
