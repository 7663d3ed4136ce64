// SPDX-License-Identifier: Apache-2.0
#include "user/app/privileges.h"

#include <fmt/core.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <string_view>
#include <vector>

#include "user/tracer/capabilities.h"

namespace leaktrace::app {
namespace {

constexpr const char* kBtf = "/sys/kernel/btf/vmlinux";

}  // namespace

Result<void> check_privileges() {
  auto capabilities = tracer::read_capabilities();
  if (!capabilities) return capabilities.unexpected();
  if (!capabilities->sufficient()) {
    std::vector<std::string_view> names;
    for (const auto& need : capabilities->missing()) {
      if (!need.optional) names.push_back(need.name);
    }
    return fail(fmt::format("not allowed to trace: {} missing", fmt::join(names, ", ")),
                fmt::format("run as root, or grant it once: {}", capabilities->grant_command()));
  }
  if (::access(kBtf, R_OK) != 0) {
    return fail(fmt::format("this kernel has no BTF ({} cannot be read)", kBtf),
                "leaktrace needs a kernel built with CONFIG_DEBUG_INFO_BTF; see leaktrace doctor");
  }
  return {};
}

}  // namespace leaktrace::app
