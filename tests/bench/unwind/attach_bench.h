// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace leaktrace::bench {

/// A process that maps `library` and allocates steadily is attached to: what each step takes, with
/// the tables compiled (cold) and from the disk cache (warm), until the first stack is there; then
/// the same for a library that it opens while it is traced. Needs root. Returns an exit status.
int time_attaching(const std::string& library);

/// That process: maps the library at once, or after a byte on standard input. Does not return.
[[noreturn]] void run_attach_target(const std::string& library, bool at_once);

}  // namespace leaktrace::bench
