// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <system_error>
#include <thread>
#include <utility>

#include "user/base/file.h"
#include "user/tracer/feature_programs.h"

namespace leaktrace::tracer {
namespace {

constexpr std::uint64_t kCalls = 3;
constexpr std::uint64_t kCookie = 0x1eaf'c00c'1e00'0001;

void call_target(const TrialContext& context, std::uint64_t times) {
  for (std::uint64_t i = 0; i < times; ++i) probe_target(context.nonce);
}

Trial compare_hits(std::uint64_t seen, std::uint64_t expected) {
  if (seen == expected) return {Finding::State::yes, {}};
  return {Finding::State::no,
          fmt::format("attached, but {} of {} calls were seen", seen, expected)};
}

enum class Through { single, multi };

Through whatever_works(const TrialContext& context) {
  return context.so_far->uprobe_multi ? Through::multi : Through::single;
}

/// Loads the program, attaches it as said, calls the target and compares what it saw.
Trial try_hits(TrialContext& context, const char* name, Through through,
               const AttachOptions& options, const std::function<Trial(Skeleton&)>& after = {}) {
  auto skeleton =
      load_programs(context, {name}, through == Through::multi ? kUprobeMulti : kPerfEvent);
  if (!skeleton) return failed_trial(context, "loading the program", errno);
  const auto* program = bpf_object__find_program_by_name(skeleton->obj, name);
  Link link =
      through == Through::multi ? attach_multi(program, options) : attach_single(program, options);
  if (!link) {
    return through == Through::multi ? failed_trial(context, "attaching", errno)
                                     : failed_single_attach(context, errno);
  }
  call_target(context, kCalls);
  auto trial = compare_hits(skeleton->bss->hits, kCalls);
  if (trial.state == Finding::State::yes && skeleton->bss->seen_tgid != 0)
    context.kernel_tgid = skeleton->bss->seen_tgid;
  if (trial.state == Finding::State::yes && after) trial = after(skeleton);
  detach_later(context, std::move(link), std::move(skeleton));
  return trial;
}

Trial cookie_arrived(Skeleton& skeleton) {
  if (skeleton->bss->seen_cookie == kCookie) return {Finding::State::yes, {}};
  return {Finding::State::no, "the program ran, but read another cookie"};
}

int count_event(void* context, void*, size_t) {
  ++*static_cast<std::uint64_t*>(context);
  return 0;
}

Trial events_arrived(Skeleton& skeleton) {
  std::uint64_t events = 0;
  ring_buffer* ring =
      ring_buffer__new(bpf_map__fd(skeleton->maps.probe_events), count_event, &events, nullptr);
  if (ring == nullptr)
    return {Finding::State::no, describe_errno("the ring buffer cannot be mapped", errno)};
  ring_buffer__consume(ring);
  ring_buffer__free(ring);
  if (events == kCalls) return {Finding::State::yes, {}};
  return {Finding::State::no, fmt::format("{} of {} events arrived", events, kCalls)};
}

}  // namespace

Trial try_bpf_load(TrialContext& context) {
  if (!load_programs(context, {"count_entry"}))
    return failed_trial(context, "loading a tracing program", errno);
  return {Finding::State::yes, {}};
}

Trial try_jit(TrialContext& context) {
  const auto skeleton = load_programs(context, {"count_entry"});
  if (!skeleton) return failed_trial(context, "loading a tracing program", errno);
  bpf_prog_info info{};
  __u32 size = sizeof(info);
  if (bpf_prog_get_info_by_fd(bpf_program__fd(skeleton->progs.count_entry), &info, &size) != 0)
    return failed_trial(context, "asking for the program", errno);
  if (info.jited_prog_len == 0)
    return {Finding::State::no, "the kernel interprets programs (net.core.bpf_jit_enable)"};
  return {Finding::State::yes, {}};
}

Trial try_uprobe(TrialContext& context) {
  return try_hits(context, "count_entry", Through::single, {});
}

Trial try_uretprobe(TrialContext& context) {
  return try_hits(context, "count_return", Through::single, {.on_return = true});
}

Trial try_attach_cookie(TrialContext& context) {
  return try_hits(context, "read_cookie", Through::single, {.cookie = kCookie}, cookie_arrived);
}

Trial try_ring_buffer(TrialContext& context) {
  return try_hits(context, "send_event", whatever_works(context), {}, events_arrived);
}

Trial try_bpf_loop(TrialContext& context) {
  return try_hits(context, "run_loop", whatever_works(context), {});
}

Trial try_uprobe_multi(TrialContext& context) {
  return try_hits(context, "count_entry", Through::multi, {});
}

Trial try_uprobe_multi_return(TrialContext& context) {
  return try_hits(context, "count_return", Through::multi, {.on_return = true});
}

Trial try_uprobe_multi_cookie(TrialContext& context) {
  return try_hits(context, "read_cookie", Through::multi, {.cookie = kCookie}, cookie_arrived);
}

Trial try_uprobe_multi_pid(TrialContext& context) {
  // Before 6.10 (46ba0e49b642 "bpf: fix multi-uprobe PID filtering logic") the filter compared
  // tasks, so that the other threads of the process went unseen.
  return try_hits(
      context, "count_entry", Through::multi, {.this_process_only = true},
      [&context](Skeleton& skeleton) -> Trial {
        const std::uint64_t before = skeleton->bss->hits;
        try {
          std::thread([&context] { call_target(context, kCalls); }).join();
        } catch (const std::system_error& error) {
          return {Finding::State::unknown, fmt::format("no thread can be made: {}", error.what())};
        }
        if (skeleton->bss->hits == before + kCalls) return {Finding::State::yes, {}};
        return {Finding::State::no, "only one thread of the process is seen"};
      });
}

Trial try_uprobe_session(TrialContext& context) {
  const auto skeleton = load_programs(context, {"count_both"}, kUprobeSession);
  if (!skeleton) return failed_trial(context, "loading the program", errno);
  const auto link = attach_session(skeleton->progs.count_both);
  if (!link) return failed_trial(context, "attaching", errno);
  call_target(context, kCalls);
  return compare_hits(skeleton->bss->hits, 2 * kCalls);
}

}  // namespace leaktrace::tracer
