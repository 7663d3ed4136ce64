// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/session_link.h"

#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace leaktrace::tracer {

UniqueFd create_multi_link(const MultiLinkOptions& options, std::span<const unsigned long> offsets,
                           std::span<const std::uint64_t> cookies) {
  // BPF_LINK_CREATE's part of union bpf_attr (include/uapi/linux/bpf.h, link_create.uprobe_multi).
  struct {
    std::uint32_t program_fd, target_fd, attach_type, flags;
    std::uint64_t path, offsets, reference_counters, cookies;
    std::uint32_t count, multi_flags, pid, padding;
  } attributes{};
  attributes.program_fd = static_cast<std::uint32_t>(options.program_fd);
  attributes.attach_type = options.type;
  attributes.path = reinterpret_cast<std::uintptr_t>(options.path);
  attributes.offsets = reinterpret_cast<std::uintptr_t>(offsets.data());
  attributes.cookies = reinterpret_cast<std::uintptr_t>(cookies.data());
  attributes.count = static_cast<std::uint32_t>(offsets.size());
  attributes.multi_flags = options.on_return ? 1 : 0;  // BPF_F_UPROBE_MULTI_RETURN
  attributes.pid = static_cast<std::uint32_t>(options.pid);
  return UniqueFd(static_cast<int>(::syscall(SYS_bpf, BPF_LINK_CREATE, &attributes,
                                             sizeof(attributes) - sizeof(std::uint32_t))));
}

UniqueFd create_session_link(const bpf_program* program, const char* path,
                             std::span<const unsigned long> offsets,
                             std::span<const std::uint64_t> cookies, pid_t pid) {
  return create_multi_link(
      {.program_fd = bpf_program__fd(program), .type = kUprobeSession, .path = path, .pid = pid},
      offsets, cookies);
}

}  // namespace leaktrace::tracer
