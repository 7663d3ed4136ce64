// SPDX-License-Identifier: Apache-2.0
// What a difference of two recordings says, in words.
#pragma once

#include <cstdint>
#include <string>

#include "user/analyze/diff.h"

namespace leaktrace::output {

/// Call sites of the difference, `top` cut or not.
[[nodiscard]] std::uint64_t all_sites(const analyze::Diff& diff);

/// Whether some amount is not exact.
[[nodiscard]] bool has_limits(const analyze::Diff& diff);

/// How the lengths of the recordings compare, and what that means; empty when they are alike.
[[nodiscard]] std::string length_words(const analyze::Diff& diff);

/// "+540.0 KiB: from 60.0 KiB in 60 blocks at 1 call site to 600.0 KiB in 600 blocks at 2 call
/// sites".
[[nodiscard]] std::string kind_words(model::Kind kind, const analyze::DiffPair& pair);

/// "1 appeared (+10.0 KiB), 1 grew (+530.0 KiB), 7 the same (3 within sampling)".
[[nodiscard]] std::string change_words(model::Kind kind, const analyze::DiffKind& sums);

/// "+540.0 KiB in +540 blocks: from 60.0 KiB in 60 blocks to 600.0 KiB in 600".
[[nodiscard]] std::string amount_words(const analyze::DiffSite& site);

/// "with 95 % confidence +100.0 KiB to +900.0 KiB (from 6 samples, then 50)"; empty when exact.
[[nodiscard]] std::string limit_words(const analyze::DiffSite& site);

/// "a second: +1.0 KiB/s, +1.00 blocks/s before; +1.0 KiB/s, +1.00 blocks/s now"; empty when
/// nothing changed while either was recorded.
[[nodiscard]] std::string rate_words(const analyze::DiffSite& site);

/// How the site was recognized, where that is not by its code; else empty.
[[nodiscard]] std::string match_words(const analyze::DiffSite& site);

}  // namespace leaktrace::output
