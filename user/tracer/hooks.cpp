// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/hooks.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <string_view>
#include <utility>

namespace leaktrace::tracer {
namespace {

/// The kinds of which a function that gives back is among these hooks.
std::set<unsigned> kinds_given_back(const std::vector<const Hook*>& hooks,
                                    const std::vector<catalog::Row>& rows) {
  std::set<unsigned> kinds;
  for (const Hook* hook : hooks) {
    const lt_row& row = rows[hook->row].abi;
    if (row.operation != LT_OP_ACQUIRE) kinds.insert(row.kind);
  }
  return kinds;
}

/// Why a function must not be hooked in a process; empty: it may.
std::string objection(const Hook& hook, const Module& module, const MappedCode& code) {
  if (!hook.declined.empty()) return hook.declined;
  std::string why(code.objection(module.fd.get(), hook.site));
  for (const ProbeSite& site : hook.returns) {
    if (!why.empty()) break;
    why = code.objection(module.fd.get(), site);
  }
  return why;
}

void take(HookPlace place, Hook& hook) {
  hook.site = std::move(place.site);
  hook.returns = std::move(place.exits.returns);
  hook.declined = std::move(place.declined);
  if (hook.declined.empty() && !place.exits.declined.empty()) {
    hook.declined = "its returns cannot be found: " + place.exits.declined;
  }
}

bool maps_file(const std::vector<Mapping>& maps, const Mapping& file) {
  return std::ranges::any_of(maps, [&](const Mapping& one) {
    return one.executable && one.device == file.device && one.inode == file.inode;
  });
}

}  // namespace

bool is_any_process_translated() {
  return std::ranges::any_of(all_processes(), [](pid_t pid) {
    const auto maps = read_maps(pid);
    return maps && std::ranges::any_of(*maps, [](const Mapping& one) {
             return catalog::translator_of(one.path) != nullptr;
           });
  });
}

std::uint64_t Hook::cookie() const {
  return row | (site.emulated ? 0 : LT_COOKIE_STEPPED) |
         (has_own_returns() ? LT_COOKIE_OWN_RETURNS : 0) |
         std::uint64_t{pg_layout} << LT_COOKIE_LAYOUT_SHIFT | std::uint64_t{site.pushed} << 32 |
         std::uint64_t{code_pages} << LT_COOKIE_CODE_PAGES_SHIFT;
}

std::uint64_t Hook::return_cookie(const ProbeSite& at) const {
  return row | (at.emulated ? 0 : LT_COOKIE_STEPPED) | LT_COOKIE_AT_RETURN |
         std::uint64_t{pg_layout} << LT_COOKIE_LAYOUT_SHIFT;
}

std::vector<Hook> find_hooks(const std::vector<catalog::Row>& rows, const Module& module,
                             ElfReader& reader, const ClassSet& emulated, Trampolines trampolines) {
  std::vector<std::uint32_t> found;
  std::vector<HookRequest> requests;
  std::set<std::uint64_t> taken;
  for (std::uint32_t i = 0; i < rows.size(); ++i) {
    if (rows[i].applies == catalog::Applies::unless_object_imports_malloc &&
        module.image.imports_malloc) {
      continue;
    }
    for (const FunctionSymbol& function : module.image.functions) {
      if (function.name != rows[i].symbol || !taken.insert(function.file_offset).second) continue;
      found.push_back(i);
      const bool exits =
          rows[i].needs_return() && !may_have_trampoline(rows[i], module.image, trampolines);
      requests.push_back({.site = {function, needs_of(rows[i])}, .exits = exits});
    }
  }
  std::vector<Hook> hooks;
  if (found.empty()) return hooks;
  auto places = reader.find_places(module.fd.get(), module.image, requests, emulated);
  for (std::size_t i = 0; i < found.size(); ++i) {
    Hook& hook = hooks.emplace_back();
    hook.row = found[i];
    if (places) {
      take(std::move(places->at(i)), hook);
    } else {
      hook.site.entry = hook.site.offset = requests[i].site.function.file_offset;
      hook.declined = "its code could not be looked at: " + places.error().what;
    }
  }
  return hooks;
}

void decline_own_returns(std::vector<Hook>& hooks, const std::string& why) {
  for (Hook& hook : hooks) {
    if (!hook.has_own_returns()) continue;
    hook.declined = "its return cannot be seen by a probe on its return instructions: " + why;
    hook.returns.clear();
  }
}

std::vector<Hook> imported_hooks(const std::vector<Hook>& hooks,
                                 const std::vector<catalog::Row>& rows,
                                 const std::vector<const Module*>& files) {
  std::vector<Hook> left;
  std::ranges::copy_if(hooks, std::back_inserter(left), [&](const Hook& hook) {
    const catalog::Row& row = rows[hook.row];
    return row.applies != catalog::Applies::once_imported ||
           std::ranges::any_of(files, [&](const Module* file) {
             return std::ranges::find(file->image.imports, row.symbol) != file->image.imports.end();
           });
  });
  return left;
}

CheckedHooks check_hooks(const std::vector<Hook>& hooks, const std::vector<catalog::Row>& rows,
                         const Module& module, const MappedCode& code) {
  std::vector<const Hook*> declined;
  std::map<std::string, std::vector<std::string_view>> by_reason;
  for (const Hook& hook : hooks) {
    const std::string why = objection(hook, module, code);
    if (why.empty()) continue;
    declined.push_back(&hook);
    by_reason[why].push_back(rows[hook.row].symbol);
  }
  if (declined.empty()) return {hooks, std::nullopt};

  const std::set<unsigned> given_up = kinds_given_back(declined, rows);
  // What a session holds is known only when all that is done with it is seen.
  const bool no_postgres = std::ranges::any_of(
      declined, [&](const Hook* hook) { return rows[hook->row].is_postgres(); });
  CheckedHooks checked;
  for (const Hook& hook : hooks) {
    const catalog::Row& row = rows[hook.row];
    const bool left_out = std::ranges::find(declined, &hook) != declined.end() ||
                          given_up.contains(row.abi.kind) || (no_postgres && row.is_postgres());
    if (!left_out) checked.hooks.push_back(hook);
  }
  std::vector<std::string> reasons;
  for (const auto& [why, names] : by_reason) {
    reasons.push_back(fmt::format("{}: {}", fmt::join(names, ", "), why));
  }
  if (checked.hooks.size() + declined.size() < hooks.size()) {
    reasons.emplace_back(
        "the others of their kind are left out too, for what they acquire would look leaked");
  }
  checked.loss = ProbeLoss{.path = module.path,
                           .count = hooks.size() - checked.hooks.size(),
                           .why = fmt::format("{}", fmt::join(reasons, "; "))};
  return checked;
}

void check_other_processes(CheckedHooks& checked, const std::vector<catalog::Row>& rows,
                           const Module& module, const Mapping& file, pid_t checked_pid) {
  for (pid_t pid : all_processes()) {
    if (checked.hooks.empty()) return;
    if (pid == checked_pid) continue;
    auto maps = read_maps(pid);
    if (!maps || !maps_file(*maps, file)) continue;
    CheckedHooks left = check_hooks(checked.hooks, rows, module, MappedCode(pid, *maps, file));
    if (!left.loss) continue;
    left.loss->why += fmt::format(" (in process {})", pid);
    if (checked.loss) {
      left.loss->count += checked.loss->count;
      left.loss->why = checked.loss->why + "; " + left.loss->why;
    }
    checked = std::move(left);
  }
}

}  // namespace leaktrace::tracer
