// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/probes.h"

#include <fmt/core.h>

#include <array>
#include <iterator>
#include <set>

#include "user/base/log.h"

namespace leaktrace::tracer {
namespace {

/// A row and the place of its function in the file.
struct Hook {
  std::uint32_t row = 0;
  std::uint64_t offset = 0;
};

// Two names of one function (aligned_alloc and memalign in glibc) are hooked once, by the row that
// comes first.
std::vector<Hook> find_hooks(const std::vector<catalog::Row>& rows, const ElfImage& image) {
  std::vector<Hook> hooks;
  std::set<std::uint64_t> taken;
  for (std::uint32_t i = 0; i < rows.size(); ++i) {
    if (rows[i].applies == catalog::Applies::unless_object_imports_malloc && image.imports_malloc) {
      continue;
    }
    for (const FunctionSymbol& function : image.functions) {
      if (function.name == rows[i].symbol && taken.insert(function.file_offset).second) {
        hooks.push_back({i, function.file_offset});
      }
    }
  }
  return hooks;
}

bool runs_on(EngineProgram program, const catalog::Row& row) {
  switch (program) {
    case EngineProgram::release_exit:
      return row.abi.operation == LT_OP_RELEASE && row.needs_return();
    case EngineProgram::release_enter:
      return row.abi.operation == LT_OP_RELEASE;
    case EngineProgram::replace_enter:
      return row.abi.operation == LT_OP_REPLACE;
    case EngineProgram::acquire_exit:
      return row.abi.operation != LT_OP_RELEASE;
    default:
      return row.abi.operation == LT_OP_ACQUIRE;
  }
}

ProbeTargets targets_of(EngineProgram program, const std::vector<Hook>& hooks,
                        const std::vector<catalog::Row>& rows) {
  ProbeTargets targets;
  for (const Hook& hook : hooks) {
    if (!runs_on(program, rows[hook.row])) continue;
    targets.offsets.push_back(hook.offset);
    targets.cookies.push_back(hook.row);
  }
  return targets;
}

// A return probe before its entry probe: an entry without a return would wait for ever.
constexpr std::array kAttachOrder = {EngineProgram::release_exit, EngineProgram::release_enter,
                                     EngineProgram::acquire_exit, EngineProgram::replace_enter,
                                     EngineProgram::acquire_enter};

}  // namespace

Result<FileProbes> FileProbes::attach(Engine& engine, const std::vector<catalog::Row>& rows,
                                      const Module& module, pid_t pid) {
  FileProbes probes;
  if (!module.fd) return probes;
  std::vector<Hook> hooks = find_hooks(rows, module.image);
  for (EngineProgram program : kAttachOrder) {
    ProbeTargets targets = targets_of(program, hooks, rows);
    auto links = engine.attach(program, pid, module.fd.get(), targets);
    if (!links) return fail(module.path + ": " + links.error().what, links.error().advice);
    if (program == EngineProgram::acquire_enter) {
      probes.acquire_functions_ += targets.offsets.size();
    }
    std::move(links->begin(), links->end(), std::back_inserter(probes.links_));
  }
  for (const Hook& hook : hooks) {
    log::debug("{}: probing {} at {:#x}", module.path, rows[hook.row].symbol, hook.offset);
  }
  return probes;
}

FileProbes& FileProbes::operator=(FileProbes&& other) noexcept {
  detach();
  links_ = std::move(other.links_);
  acquire_functions_ = std::exchange(other.acquire_functions_, 0);
  return *this;
}

void FileProbes::detach() {
  while (!links_.empty()) links_.pop_back();
  acquire_functions_ = 0;
}

}  // namespace leaktrace::tracer
