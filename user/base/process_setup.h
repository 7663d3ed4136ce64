// SPDX-License-Identifier: Apache-2.0
// What a program does first of all, and what a command that it starts must not inherit of that.
#pragma once

namespace leaktrace {

/// Opens /dev/null, close-on-exec, for those of descriptors 0 to 2 that are closed: otherwise the
/// next file that is opened takes their number, and messages go into a recording or worse. Makes
/// writing to a pipe that nobody reads, or past the limit on file sizes, an error (EPIPE, EFBIG)
/// instead of the end of the program. Takes SIGCHLD back to its default: who started the program
/// may have ignored it, and the ends of children would not be seen.
void set_up_process();

/// In a forked child, before exec: signals are ignored and blocked as set_up_process() found them.
/// Async-signal-safe. Descriptors 0 to 2 that were closed are so again after exec.
void restore_inherited_signals();

}  // namespace leaktrace
