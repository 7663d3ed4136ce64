// SPDX-License-Identifier: Apache-2.0
// Loading and attaching the programs of bpf/feature_probe.bpf.c, one at a time.
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <feature_probe.skel.h>

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>

#include "user/base/unique_fd.h"
#include "user/tracer/feature_trial.h"
#include "user/tracer/link.h"
#include "user/tracer/link_keeper.h"
#include "user/tracer/session_link.h"

namespace leaktrace::tracer {

struct SkeletonDeleter {
  void operator()(feature_probe_bpf* skeleton) const { feature_probe_bpf__destroy(skeleton); }
};
using Skeleton = std::unique_ptr<feature_probe_bpf, SkeletonDeleter>;

// Values of enum bpf_attach_type that the kernel headers of Debian 12 (6.1) do not have.
inline constexpr auto kPerfEvent = static_cast<bpf_attach_type>(0);  ///< libbpf's own choice
inline constexpr auto kUprobeMulti = static_cast<bpf_attach_type>(48);

/// The object with those programs loaded and no other; null with errno set when that fails.
[[nodiscard]] Skeleton load_programs(const TrialContext& context,
                                     std::initializer_list<const char*> programs,
                                     bpf_attach_type attach_type = kPerfEvent);

/// The function that programs are attached to. Returns what it is given, with no effect but being
/// called: callers go through this pointer, so that no compiler inlines it.
extern std::uint64_t (*const volatile probe_target)(std::uint64_t);

/// libbpf says on stderr why a program did not load, which in a trial is an answer and no mishap.
class QuietLibbpf {
 public:
  QuietLibbpf() : before_(libbpf_set_print(nullptr)) {}
  QuietLibbpf(const QuietLibbpf&) = delete;
  QuietLibbpf& operator=(const QuietLibbpf&) = delete;
  ~QuietLibbpf() { libbpf_set_print(before_); }

 private:
  libbpf_print_fn_t before_;
};

/// Where that function is: a path that opens the file it is in, and the offset in the file.
struct TargetPlace {
  std::string path;
  unsigned long offset = 0;
};
[[nodiscard]] TargetPlace place_of_target();
/// The same of any code of this process.
[[nodiscard]] TargetPlace place_of(const void* code);

struct AttachOptions {
  const void* place = nullptr;  ///< an instruction of this process; null: probe_target()
  bool on_return = false;
  bool this_process_only = false;
  std::uint64_t cookie = 0;
};

/// Has the keeper of this process's probes attach to the file `path`, because a process that is
/// killed while it attaches or detaches leaves probes behind in the kernel. Nothing where there is
/// no keeper; errno says why a link holds nothing. `request` needs no file.
[[nodiscard]] std::optional<Link> attach_by_keeper(LinkRequest request, const std::string& path);
/// Attaches through perf_event_open, as for one function; null with errno set when that fails.
[[nodiscard]] Link attach_single(const bpf_program* program, const AttachOptions& options);
/// Attaches with a uprobe-multi link; null with errno set when that fails.
[[nodiscard]] Link attach_multi(const bpf_program* program, const AttachOptions& options);
/// Gives the link and its programs up, without waiting until the kernel has let go of them.
void detach_later(TrialContext& context, Link link, Skeleton skeleton);
/// Attaches a program that was loaded for a session; holds nothing, with errno set, when that
/// fails.
[[nodiscard]] UniqueFd attach_session(const bpf_program* program);

}  // namespace leaktrace::tracer
