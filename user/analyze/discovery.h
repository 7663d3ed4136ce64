// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

namespace leaktrace::analyze {

/// Adjusted p-values: to reject those of at most q keeps the expected share of false ones among the
/// rejected at most q (Benjamini and Hochberg, 1995). That holds when the tests are independent or
/// positively dependent (Benjamini and Yekutieli, 2001), as call sites under one load are. A value
/// that is no number, or 1, counts as no test: a site that never moved cannot be found by chance.
[[nodiscard]] std::vector<double> false_discovery(std::span<const double> p_values);

}  // namespace leaktrace::analyze
