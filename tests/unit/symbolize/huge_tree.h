// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>

namespace leaktrace::symbolize::test {

/// Adds debug information to a program that has none: one unit that does not say where its code is,
/// of so many functions that say nothing, packed to a thousandth. Who looks for an address has to
/// walk them all; a million takes some ten milliseconds.
void add_huge_tree(const std::filesystem::path& program, std::size_t functions);

}  // namespace leaktrace::symbolize::test
