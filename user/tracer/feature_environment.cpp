// SPDX-License-Identifier: Apache-2.0
#include <bpf/btf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <memory>
#include <optional>

#include "user/base/file.h"
#include "user/base/unique_fd.h"
#include "user/tracer/feature_trial.h"
#include "user/tracer/pid_namespace.h"

namespace leaktrace::tracer {
namespace {

using State = Finding::State;

constexpr int kCapSysPtrace = 19;
constexpr int kCapPerfmon = 38;
constexpr int kCapBpf = 39;

/// The number that a file of /proc/sys holds; nothing when it is not there or not readable.
std::optional<int> read_number(const std::string& path) {
  const auto text = read_file(path);
  if (!text) return std::nullopt;
  int number = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
  return error == std::errc{} && end != text->data() ? std::optional(number) : std::nullopt;
}

std::string describe_limit(rlim_t limit) {
  return limit == RLIM_INFINITY ? "unlimited" : fmt::format("{}", limit);
}

/// A sysctl that stands in the way unless the process has a capability.
Trial sysctl_or_capability(const TrialContext& context, const std::string& path, int harmless_to,
                           int capability) {
  const auto level = read_number(path);
  if (!level) return {State::yes, "this kernel does not have the setting"};
  if (*level <= harmless_to) return {State::yes, fmt::format("{}", *level)};
  if (context.capabilities.effective.allows(capability))
    return {State::yes, fmt::format("{}, which this process's capabilities override", *level)};
  return {State::no, fmt::format("{}", *level)};
}

}  // namespace

std::string parse_lockdown_mode(const std::string& text) {
  const auto open = text.find('[');
  const auto close = text.find(']', open);
  if (open == std::string::npos || close == std::string::npos) return {};
  return text.substr(open + 1, close - open - 1);
}

Trial try_btf(TrialContext&) {
  constexpr const char* kPath = "/sys/kernel/btf/vmlinux";
  if (::access(kPath, R_OK) != 0)
    return {errno == ENOENT ? State::no : State::unknown, describe_errno(kPath, errno)};
  const std::unique_ptr<btf, decltype(&btf__free)> types(btf__parse(kPath, nullptr), btf__free);
  if (types) return {State::yes, kPath};
  return {State::no, describe_errno(fmt::format("{} cannot be read", kPath), errno)};
}

Trial try_map_files(TrialContext&) {
  std::error_code error;
  const std::filesystem::directory_iterator entries("/proc/self/map_files", error);
  if (error) return {State::no, describe_errno("/proc/self/map_files", error.value())};
  if (entries == std::filesystem::directory_iterator())
    return {State::unknown, "this process has no mapped file"};
  const UniqueFd file(::open(entries->path().c_str(), O_RDONLY | O_CLOEXEC));
  if (file) return {State::yes, {}};
  return {State::no, describe_errno("opening a mapped file", errno)};
}

Trial try_pid_namespace(TrialContext& context) {
  if (context.kernel_tgid == 0) return {State::unknown, "no program has seen this process"};
  if (context.kernel_tgid == static_cast<std::uint32_t>(::getpid())) return {State::yes, {}};
  return {State::no,
          fmt::format("process {} here is {} to the kernel", ::getpid(), context.kernel_tgid)};
}

Trial try_process_ids(TrialContext& context) {
  const auto own = own_pid_namespace();
  if (own) {
    return {State::yes, own->level == 0
                            ? ""
                            : fmt::format("{} levels below the initial pid namespace", own->level)};
  }
  if (auto checked = check_pid_namespace(); !checked) {
    return {State::no, checked.error().message()};
  }
  return {context.so_far->bpf_load ? State::no : State::unknown, own.error().message()};
}

Trial try_user_namespace(TrialContext& context) {
  if (context.capabilities.initial_user_namespace) return {State::yes, {}};
  return {State::no, "this process is in a user namespace of its own (a rootless container)"};
}

Trial try_cgroup_v2(TrialContext&) {
  struct statfs filesystem {};
  const auto is_cgroup2 = [&filesystem](const char* path) {
    return ::statfs(path, &filesystem) == 0 && filesystem.f_type == CGROUP2_SUPER_MAGIC;
  };
  if (is_cgroup2("/sys/fs/cgroup")) return {State::yes, "/sys/fs/cgroup"};
  if (is_cgroup2("/sys/fs/cgroup/unified"))
    return {State::yes, "/sys/fs/cgroup/unified, beside version 1"};
  return {State::no, ::access("/sys/fs/cgroup", F_OK) == 0 ? "only version 1 is mounted"
                                                           : "no control groups are mounted"};
}

Trial try_perf_event_paranoid(TrialContext& context) {
  return sysctl_or_capability(context, "/proc/sys/kernel/perf_event_paranoid", -1, kCapPerfmon);
}

Trial try_unprivileged_bpf(TrialContext& context) {
  // Tracing programs take CAP_BPF and CAP_PERFMON whatever the setting is.
  const auto level = read_number("/proc/sys/kernel/unprivileged_bpf_disabled");
  const auto detail = level ? fmt::format("unprivileged_bpf_disabled is {}", *level)
                            : std::string("this kernel does not have the setting");
  return {context.capabilities.effective.allows(kCapBpf) ? State::yes : State::no, detail};
}

Trial try_ptrace_scope(TrialContext& context) {
  constexpr int kNobody = 3;  // not even with CAP_SYS_PTRACE, until the next boot
  const auto level = read_number("/proc/sys/kernel/yama/ptrace_scope");
  if (level && *level >= kNobody) return {State::no, fmt::format("{}", *level)};
  return sysctl_or_capability(context, "/proc/sys/kernel/yama/ptrace_scope", 0, kCapSysPtrace);
}

Trial try_lockdown(TrialContext&) {
  const auto text = read_file("/sys/kernel/security/lockdown");
  if (!text) return {State::yes, "not in this kernel, or securityfs is not mounted"};
  const auto mode = parse_lockdown_mode(*text);
  return {mode == "confidentiality" ? State::no : State::yes, mode};
}

Trial try_memlock(TrialContext& context) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_MEMLOCK, &limit) != 0)
    return {State::unknown, describe_errno("getrlimit", errno)};
  const auto detail =
      describe_limit(limit.rlim_cur) + (limit.rlim_cur == RLIM_INFINITY ? "" : " bytes");
  // Since 5.11 maps are charged to the control group, not to this limit; before, libbpf raises it
  // where it may. So what counts is whether a program with its maps could be loaded.
  return {context.so_far->bpf_load ? State::yes : State::unknown, detail};
}

Trial try_open_files(TrialContext& context) {
  constexpr rlim_t kEnough = 4096;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0)
    return {State::unknown, describe_errno("getrlimit", errno)};
  const auto detail = fmt::format("{}, can be raised to {}", describe_limit(limit.rlim_cur),
                                  describe_limit(limit.rlim_max));
  const bool enough = context.so_far->uprobe_multi || limit.rlim_max >= kEnough;
  return {enough ? State::yes : State::no, detail};
}

}  // namespace leaktrace::tracer
