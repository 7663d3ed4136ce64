// SPDX-License-Identifier: Apache-2.0
#include "user/collect/kernel_stacks.h"

#include <bpf/bpf.h>

#include <cerrno>

#include "user/base/file.h"

namespace leaktrace::collect {
namespace {

Result<std::size_t> bound_of(int map) {
  bpf_map_info info{};
  std::uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(map, &info, &size) != 0) {
    return fail(describe_errno("cannot read the size of a BPF map", errno));
  }
  return info.max_entries;
}

lt_site_key key_of(const SiteEntry& entry) {
  return {.stack_id = entry.place.value,
          .image = entry.image.value,
          .kind = static_cast<std::uint32_t>(entry.kind)};
}

}  // namespace

Result<KernelStacks> KernelStacks::create(const StackMaps& maps) {
  KernelStacks stacks(maps);
  auto max_stacks = bound_of(maps.call_stacks);
  if (!max_stacks) return max_stacks.unexpected();
  auto max_sites = bound_of(maps.call_sites);
  if (!max_sites) return max_sites.unexpected();
  stacks.max_stacks_ = *max_stacks;
  stacks.max_sites_ = *max_sites;
  stacks.waiting_inner_ = UniqueFd(
      bpf_map_create(BPF_MAP_TYPE_ARRAY, "lt_wait_inner", sizeof(int), sizeof(int), 1, nullptr));
  LIBBPF_OPTS(bpf_map_create_opts, options);
  options.inner_map_fd = static_cast<std::uint32_t>(stacks.waiting_inner_.get());
  if (stacks.waiting_inner_) {
    stacks.waiting_outer_ = UniqueFd(bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "lt_wait_outer",
                                                    sizeof(int), sizeof(int), 1, &options));
  }
  if (!stacks.waiting_outer_) return fail(describe_errno("cannot create a BPF map", errno));
  return stacks;
}

// Before it returns from an update of a map of maps, the kernel waits for all programs that run
// under RCU (kernel/bpf/syscall.c, maybe_wait_bpf_programs; since 5.0), as those on uprobes do when
// they are not sleepable (include/linux/trace_events.h, bpf_prog_run_array_uprobe).
Result<void> KernelStacks::wait_for_programs() {
  const int zero = 0;
  const int inner = waiting_inner_.get();
  if (bpf_map_update_elem(waiting_outer_.get(), &zero, &inner, BPF_ANY) != 0) {
    return fail(describe_errno("cannot wait for BPF programs", errno));
  }
  return {};
}

Result<void> KernelStacks::set_flag(std::uint32_t value) {
  const std::uint32_t zero = 0;
  if (bpf_map_update_elem(maps_.stacks_retire, &zero, &value, BPF_ANY) != 0) {
    return fail(describe_errno("cannot write a BPF map", errno));
  }
  return {};
}

Result<std::vector<StackPlace>> KernelStacks::retire(std::span<const StackPlace> places) {
  for (StackPlace place : places) {
    lt_stack_seen seen{};
    if (bpf_map_lookup_elem(maps_.call_stacks, &place.value, &seen) != 0) continue;
    const std::uint64_t mark = LT_RETIRING_MARK(place.value, seen.check);
    if (bpf_map_update_elem(maps_.retiring_stacks, &place.value, &mark, BPF_ANY) != 0) continue;
    marked_.push_back(place);
  }
  if (auto set = set_flag(1); !set) return set.unexpected();
  // Threads that remember a stack look it up again, and find it marked.
  __atomic_fetch_add(maps_.state_epoch, 1, __ATOMIC_SEQ_CST);
  if (auto waited = wait_for_programs(); !waited) return waited.unexpected();
  return marked_;
}

std::optional<lt_site_counters> KernelStacks::read(const SiteEntry& entry) const {
  const lt_site_key key = key_of(entry);
  lt_site_counters counters{};
  if (bpf_map_lookup_elem(maps_.call_sites, &key, &counters) != 0) return std::nullopt;
  return counters;
}

void KernelStacks::remove(const SiteEntry& entry) {
  const lt_site_key key = key_of(entry);
  bpf_map_delete_elem(maps_.call_sites, &key);
  bpf_map_delete_elem(maps_.site_lifetimes, &key);
}

void KernelStacks::remove(StackPlace place) {
  bpf_map_delete_elem(maps_.call_stacks, &place.value);
}

void KernelStacks::end_retirement() {
  for (StackPlace place : marked_) bpf_map_delete_elem(maps_.retiring_stacks, &place.value);
  marked_.clear();
  // Left set, it costs a look-up that finds nothing.
  static_cast<void>(set_flag(0));
}

}  // namespace leaktrace::collect
