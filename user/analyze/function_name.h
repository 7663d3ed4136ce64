// SPDX-License-Identifier: Apache-2.0
// Just enough of the grammar of demangled C++ and Rust names to find the parts of one.
#pragma once

#include <cstddef>
#include <string_view>

namespace leaktrace::analyze {

/// The position after the bracket that closes the one at `open` ('<', '(', '[' or '{'), or npos
/// when nothing closes it. Knows `->` and `operator<` from brackets.
[[nodiscard]] std::size_t past_bracket(std::string_view name, std::size_t open);

/// Whether the character at `at` is a bracket that opens a group: not the '<' of `operator<`.
[[nodiscard]] bool opens_group(std::string_view name, std::size_t at);

/// The qualified name within a demangled function: without return type, arguments and qualifiers,
/// with template arguments. "void ns::f<int>(int) const" gives "ns::f<int>". What is not
/// understood is returned whole.
[[nodiscard]] std::string_view qualified_name(std::string_view function);

}  // namespace leaktrace::analyze
