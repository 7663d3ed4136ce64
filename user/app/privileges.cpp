// SPDX-License-Identifier: Apache-2.0
#include "user/app/privileges.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <fmt/ranges.h>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <vector>

#include "user/base/confinement.h"
#include "user/tracer/capabilities.h"
#include "user/tracer/features.h"
#include "user/tracer/pid_namespace.h"

namespace leaktrace::app {
namespace {

constexpr const char* kBtf = "/sys/kernel/btf/vmlinux";

constexpr CapabilityMask mask_of(int capability) {
  return CapabilityMask{1} << capability;
}

// Of what tracing needs, what is permitted; CAP_SYS_ADMIN where the kernel takes that for a part
// that is not.
CapabilityMask tracing_capabilities(CapabilityMask permitted) {
  CapabilityMask kept = 0;
  for (const auto& need : tracer::needed_capabilities()) {
    const bool own = (permitted & mask_of(need.number)) != 0;
    const bool by_admin = !own && tracer::CapabilitySet(permitted).allows(need.number);
    kept |= mask_of(by_admin ? CAP_SYS_ADMIN : need.number);
  }
  return kept & permitted;
}

// Asked with those capabilities in effect that are to be kept.
CapabilityMask output_capabilities(const std::string& output) {
  std::filesystem::path folder = std::filesystem::path(output).parent_path();
  if (folder.empty()) folder = ".";
  CapabilityMask needed = 0;
  if (::faccessat(AT_FDCWD, folder.c_str(), W_OK | X_OK, AT_EACCESS) != 0) {
    needed |= mask_of(CAP_DAC_OVERRIDE);
  }
  struct stat info {};
  const bool others = ::stat(folder.c_str(), &info) == 0 && info.st_uid != ::geteuid();
  if (others && (info.st_mode & S_ISVTX) != 0) needed |= mask_of(CAP_FOWNER);
  return needed;
}

// With the limit raised a priority can be taken later, and by a thread, without a capability.
bool raise_priority_limit() {
  constexpr rlim_t kHighest = 40;  // 20 - nice, as getrlimit(2) has it
  const rlimit limit{kHighest, kHighest};
  return ::setrlimit(RLIMIT_NICE, &limit) == 0;
}

}  // namespace

Result<void> check_privileges() {
  if (auto pids = tracer::check_pid_namespace(); !pids) return pids;
  auto capabilities = tracer::read_capabilities();
  if (!capabilities) return capabilities.unexpected();
  if (!capabilities->sufficient()) {
    std::vector<std::string_view> names;
    for (const auto& need : capabilities->missing()) {
      if (!need.optional) names.push_back(need.name);
    }
    return fail(fmt::format("not allowed to trace: {} missing", fmt::join(names, ", ")),
                fmt::format("run as root, or let a trusted group run it: {}",
                            capabilities->grant_command()));
  }
  if (::access(kBtf, R_OK) != 0) {
    return fail(fmt::format("this kernel has no BTF ({} cannot be read)", kBtf),
                "leaktrace needs a kernel built with CONFIG_DEBUG_INFO_BTF; see leaktrace doctor");
  }
  return {};
}

Result<void> give_up_privileges(const PrivilegeNeeds& needs) {
  const auto permitted = permitted_capabilities();
  if (!permitted) return permitted.unexpected();
  CapabilityMask kept = mask_of(CAP_DAC_READ_SEARCH);
  if (needs.traces) kept |= tracing_capabilities(*permitted);
  if (needs.priority && !raise_priority_limit()) kept |= mask_of(CAP_SYS_NICE);
  if (needs.signals) kept |= mask_of(CAP_KILL);
  if (auto set = set_effective_capabilities(kept); !set) return set;
  if (needs.single_probes && tracer::single_probes_need_admin()) kept |= mask_of(CAP_SYS_ADMIN);
  if (!needs.output.empty()) kept |= output_capabilities(needs.output);
  if (auto given_up = keep_only_capabilities(kept); !given_up) return given_up;
  if (auto hidden = hide_memory(); !hidden) return hidden;
  return refuse_foreign_system_calls();
}

}  // namespace leaktrace::app
