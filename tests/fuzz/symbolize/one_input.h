// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace leaktrace::symbolize::test {

/// Looks up addresses all over a file with these bytes. What it answers is of no interest, only
/// that it does.
void look_up_all_over(const std::uint8_t* bytes, std::size_t size);

}  // namespace leaktrace::symbolize::test
