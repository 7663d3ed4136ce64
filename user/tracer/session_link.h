// SPDX-License-Identifier: Apache-2.0
// Links that put a program on many functions of a file (Linux 6.6), and sessions, whose program
// runs on entry and on return (Linux 6.13).
#pragma once

#include <bpf/libbpf.h>
#include <sys/types.h>

#include <cstdint>
#include <span>

#include "user/base/unique_fd.h"

namespace leaktrace::tracer {

/// BPF_TRACE_UPROBE_MULTI and BPF_TRACE_UPROBE_SESSION, which the headers of Debian 12 and 13 do
/// not both have.
inline constexpr auto kTraceUprobeMulti = static_cast<bpf_attach_type>(48);
inline constexpr auto kUprobeSession = static_cast<bpf_attach_type>(57);

struct MultiLinkOptions {
  int program_fd = -1;  ///< of a program that was loaded for links of this type
  bpf_attach_type type = kTraceUprobeMulti;
  bool on_return = false;      ///< of a multi link: by the kernel's trampoline
  const char* path = nullptr;  ///< of the file
  pid_t pid = 0;               ///< 0: all processes
};

/// Attaches a program to places in a file. `cookies`: one an offset, or none. Holds nothing, with
/// errno set, when that fails.
///
/// Made by the system call itself, because libbpf knows sessions only since 1.6.
[[nodiscard]] UniqueFd create_multi_link(const MultiLinkOptions& options,
                                         std::span<const unsigned long> offsets,
                                         std::span<const std::uint64_t> cookies);

/// A session of a program. `pid` 0: all processes.
[[nodiscard]] UniqueFd create_session_link(const bpf_program* program, const char* path,
                                           std::span<const unsigned long> offsets,
                                           std::span<const std::uint64_t> cookies, pid_t pid);

}  // namespace leaktrace::tracer
