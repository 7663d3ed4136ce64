// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "user/analyze/report.h"

namespace leaktrace::analyze {

/// Whether a function (demangled) only passes memory on: an allocator's own entry point, a wrapper
/// of malloc that programs commonly have, or a container of a language's standard library. For
/// display, and for suppressions that speak of the innermost frame: nothing is counted by it.
[[nodiscard]] bool is_allocation_plumbing(std::string_view function);

/// The frame that a person would name a site by: the innermost whose function does more than to
/// pass memory on; 0 when there is none such. For display, and for suppressions that speak of the
/// innermost frame.
[[nodiscard]] std::size_t naming_frame(const std::vector<ReportFrame>& stack);

/// The naming frame's function without return type and arguments, or what is known instead:
/// "module+0x12ab", "0x7f…", "(no stack)". For display only: two sites may have the same label.
[[nodiscard]] std::string site_label(const std::vector<ReportFrame>& stack);

/// A frame in a word or two: its function as it is, else "module+0x12ab", else its address.
[[nodiscard]] std::string frame_name(const ReportFrame& frame);

/// The part of a path after the last slash.
[[nodiscard]] std::string_view base_name(std::string_view path);

}  // namespace leaktrace::analyze
