// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/site_trial.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <future>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "user/base/file.h"
#include "user/base/log.h"
#include "user/tracer/feature_programs.h"
#include "user/tracer/site_trial_code.h"

namespace leaktrace::tracer {
namespace {

// What a child says, as its exit status.
constexpr int kEmulated = 10;
constexpr int kStepped = 11;
constexpr int kNotKnown = 12;

// Where pages for instructions out of line are seen. Everything in the child is a bare system call:
// it is the copy of a process that may have threads.
bool has_page_for_steps() {
  constexpr std::string_view kName = "[uprobes]";
  std::array<char, 4096 + kName.size()> buffer;
  const long fd = ::syscall(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY);
  if (fd < 0) ::syscall(SYS_exit_group, kNotKnown);
  std::size_t kept = 0;
  for (;;) {
    const long got = ::syscall(SYS_read, fd, buffer.data() + kept, buffer.size() - kept);
    if (got < 0) ::syscall(SYS_exit_group, kNotKnown);
    const std::string_view text(buffer.data(), kept + static_cast<std::size_t>(got));
    const bool found = text.find(kName) != std::string_view::npos;
    if (found || got == 0) {
      ::syscall(SYS_close, fd);
      return found;
    }
    kept = std::min(text.size(), kName.size() - 1);
    std::memmove(buffer.data(), text.data() + text.size() - kept, kept);
  }
}

[[noreturn]] void run_child(const TrialFunction& function) {
  // Another tracer may have probes on the functions of this process.
  const bool before = has_page_for_steps();
  function.call();
  int answer = kNotKnown;
  if (!before) answer = has_page_for_steps() ? kStepped : kEmulated;
  for (;;) ::syscall(SYS_exit_group, answer);
}

/// Is an instruction of that class emulated? Nothing when the child could not tell.
std::optional<bool> try_in_child(const TrialFunction& function) {
  // No signal at its end: nobody but this function may wait for it.
  const long child = ::syscall(SYS_clone, 0, nullptr, nullptr, nullptr, nullptr);
  if (child == 0) run_child(function);
  if (child < 0) return std::nullopt;
  int status = 0;
  while (::waitpid(static_cast<pid_t>(child), &status, __WALL) < 0) {
    if (errno != EINTR) return std::nullopt;
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) == kNotKnown) return std::nullopt;
  return WEXITSTATUS(status) == kEmulated;
}

/// The places of the probes: all in the file that leaktrace is.
struct TrialPlaces {
  std::string path;
  std::vector<unsigned long> offsets;
};

TrialPlaces places_of(std::span<const TrialFunction> functions) {
  TrialPlaces places;
  for (const TrialFunction& function : functions) {
    TargetPlace place = place_of(function.instruction);
    places.offsets.push_back(place.offset);
    places.path = std::move(place.path);
  }
  return places;
}

/// The attached probes of a trial, and what they need. They are on all processes that run this
/// file, because the children are to hit them.
struct TrialProbes {
  Skeleton skeleton;
  std::vector<Link> links;

  void detach() { detach_together(std::move(links)); }
};

// A program that does nothing, loaded without libbpf's objects: those read the kernel's type
// information first, five megabytes.
Link attach_at_once(const TrialPlaces& places) {
  const std::array<bpf_insn, 2> nothing = {bpf_insn{BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0},
                                           bpf_insn{BPF_JMP | BPF_EXIT, 0, 0, 0, 0}};
  LIBBPF_OPTS(bpf_prog_load_opts, load, .expected_attach_type = kUprobeMulti);
  const UniqueFd program(::bpf_prog_load(BPF_PROG_TYPE_KPROBE, "do_nothing", "Dual BSD/GPL",
                                         nothing.data(), nothing.size(), &load));
  if (!program) return {};
  const LinkRequest request{.program_fd = program.get(),
                            .kind = LinkKind::multi,
                            .offsets = places.offsets,
                            .cookies = {}};
  if (auto kept = attach_by_keeper(request, places.path)) return std::move(*kept);
  LIBBPF_OPTS(bpf_link_create_opts, options);
  options.uprobe_multi.path = places.path.c_str();
  options.uprobe_multi.offsets = places.offsets.data();
  options.uprobe_multi.cnt = static_cast<std::uint32_t>(places.offsets.size());
  return Link(UniqueFd(::bpf_link_create(program.get(), 0, kUprobeMulti, &options)));
}

Link attach_one(const bpf_program* program, const std::string& path, unsigned long offset) {
  const LinkRequest request{.program_fd = bpf_program__fd(program),
                            .kind = LinkKind::single,
                            .offsets = {&offset, 1},
                            .cookies = {}};
  if (auto kept = attach_by_keeper(request, path)) return std::move(*kept);
  LIBBPF_OPTS(bpf_uprobe_opts, options);
  return Link(bpf_program__attach_uprobe_opts(program, -1, path.c_str(), offset, &options));
}

Result<TrialProbes> attach_one_by_one(const TrialPlaces& places) {
  TrialProbes probes;
  probes.skeleton = load_programs(TrialContext(), {"count_entry"});
  if (!probes.skeleton) return fail(describe_errno("loading a BPF program", errno));
  for (unsigned long offset : places.offsets) {
    Link link = attach_one(probes.skeleton->progs.count_entry, places.path, offset);
    if (!link) return fail(describe_errno("attaching a probe", errno));
    probes.links.push_back(std::move(link));
  }
  return probes;
}

Result<TrialProbes> attach_trial_probes(const TrialPlaces& places, TrialLinks links) {
  if (links == TrialLinks::one_by_one) return attach_one_by_one(places);
  TrialProbes probes;
  Link link = attach_at_once(places);
  if (!link) return fail(describe_errno("attaching probes", errno));
  probes.links.push_back(std::move(link));
  return probes;
}

/// A trial, and its probes: detaching takes a while.
struct Tried {
  SiteTrial trial;
  TrialProbes probes;
};

Tried try_all_classes(TrialLinks links) {
  const QuietLibbpf quiet;
  Tried tried;
  const auto functions = trial_functions();
  auto probes = attach_trial_probes(places_of(functions), links);
  if (!probes) {
    tried.trial.emulated = always_emulated();
    tried.trial.failure = probes.error().message();
    return tried;
  }
  for (const TrialFunction& function : functions) {
    const auto index = static_cast<std::size_t>(function.of_class);
    const auto emulated = try_in_child(function);
    tried.trial.tried.set(index, emulated.has_value());
    tried.trial.emulated.set(index,
                             emulated.value_or(contains(always_emulated(), function.of_class)));
  }
  tried.probes = std::move(*probes);
  return tried;
}

/// Waits, when leaktrace ends, until the probes of the trial are gone.
struct KeptTrial {
  SiteTrial trial;
  std::future<void> detaching;

  KeptTrial() {
    Tried tried = try_all_classes(TrialLinks::at_once);
    if (!tried.trial.failure.empty()) tried = try_all_classes(TrialLinks::one_by_one);
    trial = std::move(tried.trial);
    if (!trial.failure.empty()) {
      log::debug("which instructions the kernel emulates was not tried: {}", trial.failure);
      return;
    }
    if (LinkKeeper::current() != nullptr) {  // which does it without a thread of ours
      detach_together(std::move(tried.probes.links), false);
      return;
    }
    detaching = std::async(std::launch::async | std::launch::deferred,
                           [probes = std::move(tried.probes)]() mutable { probes.detach(); });
  }
};

}  // namespace

ClassSet always_emulated() {
  using enum InstructionClass;
  if (kOwnMachine == Machine::arm64) {
    return class_set({a64_branch, a64_branch_condition, a64_branch_zero, a64_branch_bit, a64_call,
                      a64_ret, a64_address});
  }
  return class_set({push, nop, jump_short, jump_near, branch_short, branch_near, call});
}

const SiteTrial& site_trial() {
  static const KeptTrial kept;
  return kept.trial;
}

SiteTrial run_site_trial(TrialLinks links) {
  return try_all_classes(links).trial;
}

}  // namespace leaktrace::tracer
