// SPDX-License-Identifier: Apache-2.0
#include "tests/bpf/unwind/follow.h"

#include <fcntl.h>
#include <fmt/core.h>

#include <vector>

#include "user/base/unique_fd.h"
#include "user/tracer/procfs.h"

namespace leaktrace::tests {

Result<void> follow_process(tracer::UnwindTables& tables, pid_t pid) {
  auto maps = tracer::read_maps(pid);
  if (!maps) return maps.unexpected();
  std::vector<tracer::UnwindMapping> mappings;
  for (const tracer::Mapping& mapping : *maps) {
    if (!mapping.executable) continue;
    tracer::UnwindMapping known{mapping.start, mapping.end, mapping.offset, {}};
    if (mapping.is_file()) {
      const UniqueFd fd(::open(
          fmt::format("/proc/{}/map_files/{:x}-{:x}", pid, mapping.start, mapping.end).c_str(),
          O_RDONLY | O_CLOEXEC));
      auto module =
          tables.add_module(fmt::format("{}:{}", mapping.device, mapping.inode), fd.get());
      if (module) known.module = *module;
    } else if (mapping.path == "[vdso]") {
      if (auto module = tables.add_vdso()) known.module = *module;
    }
    mappings.push_back(known);
  }
  return tables.set_process(static_cast<uint32_t>(pid), mappings);
}

}  // namespace leaktrace::tests
