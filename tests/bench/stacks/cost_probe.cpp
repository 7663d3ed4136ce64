// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/stacks/cost_probe.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <counted_stack.skel.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <stack_cost.skel.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

#include "tests/bpf/unwind/follow.h"
#include "user/base/file.h"
#include "user/tracer/elf_image.h"
#include "user/tracer/python_image.h"

namespace leaktrace::bench {
namespace {

constexpr uint64_t row_memory = 64U << 20;

double each(uint64_t sum, uint64_t count) {
  return count == 0 ? 0 : static_cast<double>(sum) / static_cast<double>(count);
}

}  // namespace

Cost& Cost::operator+=(const Cost& other) {
  runs += other.runs;
  nanoseconds += other.nanoseconds;
  found.stacks += other.found.stacks;
  found.frames += other.found.frames;
  found.python_frames += other.found.python_frames;
  found.cut += other.found.cut;
  return *this;
}

Cost Cost::operator-(const Cost& before) const {
  return {runs - before.runs,
          nanoseconds - before.nanoseconds,
          {found.stacks - before.found.stacks, found.frames - before.found.frames,
           found.python_frames - before.found.python_frames, found.cut - before.found.cut}};
}

double Cost::per_run() const {
  return each(nanoseconds, runs);
}
double Cost::frames() const {
  return each(found.frames, found.stacks);
}
double Cost::python_frames() const {
  return each(found.python_frames, found.stacks);
}

Result<std::unique_ptr<CostProbe>> CostProbe::load() {
  std::unique_ptr<CostProbe> probe(new CostProbe);
  probe->stats_.reset(bpf_enable_stats(BPF_STATS_RUN_TIME));
  if (!probe->stats_) return fail(describe_errno("cannot count the time of programs", errno));
  probe->skeleton_ = stack_cost_bpf__open_and_load();
  if (probe->skeleton_ == nullptr) return fail(describe_errno("cannot load the programs", errno));
  const auto& maps = probe->skeleton_->maps;
  auto tables =
      tracer::UnwindTables::create({bpf_map__fd(maps.unwind_rows), bpf_map__fd(maps.unwind_pages),
                                    bpf_map__fd(maps.unwind_ranges), bpf_map__fd(maps.unwind_rules),
                                    bpf_map__fd(maps.unwind_procs)},
                                   row_memory);
  if (!tables) return tables.unexpected();
  probe->tables_ = std::make_unique<tracer::UnwindTables>(std::move(*tables));
  if (auto loaded = probe->load_counted(); !loaded) return loaded.unexpected();
  return probe;
}

Result<void> CostProbe::load_counted() {
  counted_ = counted_stack_bpf__open();
  if (counted_ == nullptr) return fail(describe_errno("cannot open the counting program", errno));
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, counted_->obj) {
    const bpf_map* shared = bpf_object__find_map_by_name(skeleton_->obj, bpf_map__name(map));
    if (shared != nullptr) bpf_map__reuse_fd(map, bpf_map__fd(shared));
  }
  if (counted_stack_bpf__load(counted_) != 0) {
    return fail(describe_errno("cannot load the counting program", errno));
  }
  return {};
}

CostProbe::~CostProbe() {
  detach();
  counted_stack_bpf__destroy(counted_);
  tables_.reset();
  stack_cost_bpf__destroy(skeleton_);
}

bpf_program* CostProbe::program(cost_program which) const {
  const auto& programs = skeleton_->progs;
  const std::array<bpf_program*, COST_PROGRAMS + 1> all = {
      programs.take_nothing,    programs.take_kernel_stack, programs.take_stack,
      programs.take_stack_cold, programs.take_python_stack, counted_->progs.count_stack};
  return all.at(which);
}

Result<void> CostProbe::follow(pid_t pid) {
  auto maps = tracer::read_maps(pid);
  if (!maps) return maps.unexpected();
  std::erase_if(*maps, [](const tracer::Mapping& mapping) { return !mapping.executable; });
  if (maps->empty()) return fail(fmt::format("process {} has ended", pid));
  std::vector<uint64_t> starts(maps->size());
  std::transform(maps->begin(), maps->end(), starts.begin(),
                 [](const tracer::Mapping& mapping) { return mapping.start; });
  if (pid == followed_ && starts == mapped_) return {};
  if (followed_ != pid && followed_ > 0) tables_->drop_process(static_cast<uint32_t>(followed_));
  if (auto followed = tests::follow_process(*tables_, pid); !followed) return followed;
  for (const tracer::Mapping& mapping : *maps) follow_python(pid, mapping);
  followed_ = pid;
  mapped_ = std::move(starts);
  return {};
}

void CostProbe::follow_python(pid_t pid, const tracer::Mapping& mapping) {
  if (mapping.path.find("python") == std::string::npos) return;
  const UniqueFd fd(::open(tracer::path_in_root(pid, mapping.path).c_str(), O_RDONLY | O_CLOEXEC));
  const auto python = fd ? tracer::read_python_image(fd.get()) : std::nullopt;
  if (!python) return;
  const std::array<std::string, 1> wanted = {tracer::kPythonEvaluation};
  const auto image = tracer::ElfImage::read(fd.get(), wanted);
  if (!image) return;
  const tracer::FunctionSymbol* function = find_function(*image, tracer::kPythonEvaluation);
  if (function == nullptr || function->file_offset < mapping.offset) return;
  const uint64_t address = mapping.start + (function->file_offset - mapping.offset);
  const lt_python layout = python->at(address - python->layout.eval_start);
  const auto key = static_cast<uint32_t>(pid);
  bpf_map_update_elem(bpf_map__fd(skeleton_->maps.pythons), &key, &layout, BPF_ANY);
}

Result<void> CostProbe::attach(cost_program which, pid_t pid, const std::string& file,
                               const std::string& function) {
  detach();
  LIBBPF_OPTS(bpf_uprobe_opts, options, .retprobe = true, .func_name = function.c_str());
  link_ = bpf_program__attach_uprobe_opts(program(which), pid, file.c_str(), 0, &options);
  if (link_ == nullptr) return fail(describe_errno("cannot probe " + function, errno));
  return {};
}

void CostProbe::detach() {
  bpf_link__destroy(link_);
  link_ = nullptr;
}

Cost CostProbe::cost(cost_program which) const {
  bpf_prog_info info{};
  __u32 length = sizeof info;
  if (bpf_prog_get_info_by_fd(bpf_program__fd(program(which)), &info, &length) != 0) return {};
  return {info.run_cnt, info.run_time_ns,
          which == COST_COUNTED ? counted_->bss->counted : skeleton_->bss->found[which]};
}

std::array<uint64_t, PARTS> CostProbe::parts() const {
  std::array<uint64_t, PARTS> counted{};
  std::copy_n(std::begin(counted_->bss->parts), counted.size(), counted.begin());
  return counted;
}

}  // namespace leaktrace::bench
