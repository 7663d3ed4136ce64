// SPDX-License-Identifier: Apache-2.0
#include "tests/bpf/unwind/stack_probe.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cerrno>
#include <cstring>

#include "tests/bpf/unwind/follow.h"
#include "unwind_probe.skel.h"
#include "user/base/file.h"

namespace leaktrace::tests {
namespace {

constexpr uint64_t row_memory = 64U << 20;

int keep(void* context, void* data, size_t size) {
  stack_event event;
  if (size < sizeof event) return 0;
  std::memcpy(&event, data, sizeof event);
  static_cast<std::vector<stack_event>*>(context)->push_back(event);
  return 0;
}

}  // namespace

Result<std::unique_ptr<StackProbe>> StackProbe::load() {
  std::unique_ptr<StackProbe> probe(new StackProbe);
  probe->skeleton_ = unwind_probe_bpf__open_and_load();
  if (probe->skeleton_ == nullptr) return fail(describe_errno("cannot load the programs", errno));
  const auto& maps = probe->skeleton_->maps;
  auto tables =
      tracer::UnwindTables::create({bpf_map__fd(maps.unwind_rows), bpf_map__fd(maps.unwind_pages),
                                    bpf_map__fd(maps.unwind_ranges), bpf_map__fd(maps.unwind_rules),
                                    bpf_map__fd(maps.unwind_procs)},
                                   row_memory);
  if (!tables) return tables.unexpected();
  probe->tables_ = std::make_unique<tracer::UnwindTables>(std::move(*tables));
  probe->ring_ = ring_buffer__new(bpf_map__fd(maps.stacks), keep, &probe->events_, nullptr);
  if (probe->ring_ == nullptr) return fail(describe_errno("cannot read the ring", errno));
  return probe;
}

StackProbe::~StackProbe() {
  detach_all();
  tables_.reset();
  ring_buffer__free(ring_);
  unwind_probe_bpf__destroy(skeleton_);
}

bpf_program* StackProbe::program(Program which) const {
  switch (which) {
    case Program::take_stack:
      return skeleton_->progs.take_stack;
    case Program::take_stack_inline:
      return skeleton_->progs.take_stack_inline;
    case Program::hijack:
      return skeleton_->progs.hijack;
    case Program::kernel_stack:
      return skeleton_->progs.kernel_stack;
  }
  return nullptr;
}

Result<void> StackProbe::attach(Program which, pid_t pid, const std::string& file,
                                const std::string& function) {
  LIBBPF_OPTS(bpf_uprobe_opts, options, .retprobe = true, .func_name = function.c_str());
  bpf_link* link = bpf_program__attach_uprobe_opts(program(which), pid, file.c_str(), 0, &options);
  if (link == nullptr) return fail(describe_errno("cannot probe " + function, errno));
  links_.push_back(link);
  return {};
}

void StackProbe::detach_all() {
  for (bpf_link* link : links_) bpf_link__destroy(link);
  links_.clear();
}

Result<void> StackProbe::follow(pid_t pid) {
  return follow_process(*tables_, pid);
}

void StackProbe::emit(emit_which which) {
  skeleton_->bss->emit = which;
}

std::vector<stack_event> StackProbe::take() {
  ring_buffer__consume(ring_);
  return std::exchange(events_, {});
}

uint64_t StackProbe::ended(lt_stack_flags reason) const {
  return skeleton_->bss->ended[reason];
}

uint64_t StackProbe::frames() const {
  return skeleton_->bss->frames_seen;
}

uint64_t StackProbe::lost() const {
  return skeleton_->bss->lost;
}

ProgramCost StackProbe::cost(Program which) const {
  bpf_prog_info info{};
  __u32 length = sizeof info;
  if (bpf_prog_get_info_by_fd(bpf_program__fd(program(which)), &info, &length) != 0) return {};
  return {info.run_cnt, info.run_time_ns, info.verified_insns};
}

}  // namespace leaktrace::tests
