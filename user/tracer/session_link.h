// SPDX-License-Identifier: Apache-2.0
// Sessions: links whose program runs on entry and on return of functions (Linux 6.13).
#pragma once

#include <bpf/libbpf.h>
#include <sys/types.h>

#include <cstdint>
#include <span>

#include "user/base/unique_fd.h"

namespace leaktrace::tracer {

/// BPF_TRACE_UPROBE_SESSION, which the headers of Debian 12 and 13 do not have.
inline constexpr auto kUprobeSession = static_cast<bpf_attach_type>(57);

/// Attaches a program that was loaded for sessions to places in the file `path`. `cookies`: one an
/// offset, or none. `pid` 0: all processes. Holds nothing, with errno set, when that fails.
///
/// Made by the system call itself, because libbpf knows sessions only since 1.6.
[[nodiscard]] UniqueFd create_session_link(const bpf_program* program, const char* path,
                                           std::span<const unsigned long> offsets,
                                           std::span<const std::uint64_t> cookies, pid_t pid);

}  // namespace leaktrace::tracer
