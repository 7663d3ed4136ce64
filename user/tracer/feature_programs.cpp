// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/feature_programs.h"

#include <fcntl.h>
#include <link.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <future>
#include <string_view>
#include <system_error>
#include <utility>

namespace leaktrace::tracer {
namespace {

[[gnu::noinline]] std::uint64_t feature_probe_target(std::uint64_t value) {
  asm volatile("" : "+r"(value) : : "memory");
  return value;
}

struct PlaceSearch {
  ElfW(Addr) address;
  TargetPlace place;
};

int find_place(dl_phdr_info* object, size_t, void* data) {
  auto& search = *static_cast<PlaceSearch*>(data);
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const auto& segment = object->dlpi_phdr[i];
    const auto start = object->dlpi_addr + segment.p_vaddr;
    if (segment.p_type != PT_LOAD || search.address < start ||
        search.address - start >= segment.p_filesz)
      continue;
    const std::string_view name = object->dlpi_name != nullptr ? object->dlpi_name : "";
    search.place = {name.empty() ? "/proc/self/exe" : std::string(name),
                    search.address - start + segment.p_offset};
    return 1;
  }
  return 0;
}

}  // namespace

std::uint64_t (*const volatile probe_target)(std::uint64_t) = feature_probe_target;

TargetPlace place_of_target() {
  return place_of(reinterpret_cast<const void*>(probe_target));
}

TargetPlace place_of(const void* code) {
  PlaceSearch search{reinterpret_cast<ElfW(Addr)>(code), {}};
  dl_iterate_phdr(find_place, &search);
  return search.place;
}

Skeleton load_programs(const TrialContext& context, std::initializer_list<const char*> programs,
                       bpf_attach_type attach_type) {
  Skeleton skeleton(feature_probe_bpf__open());
  if (!skeleton) return nullptr;
  const auto wanted = [&](const char* name) {
    return std::ranges::find(programs, std::string_view(name)) != programs.end();
  };
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, skeleton->obj) {
    const bool load = wanted(bpf_program__name(program));
    bpf_program__set_autoload(program, load);
    if (load && attach_type != kPerfEvent)
      bpf_program__set_expected_attach_type(program, attach_type);
  }
  bpf_map__set_autocreate(skeleton->maps.probe_events, wanted("send_event"));
  skeleton->rodata->nonce = context.nonce;
  skeleton->bss->own_tgid =
      context.kernel_tgid != 0 ? static_cast<pid_t>(context.kernel_tgid) : ::getpid();
  if (const int error = feature_probe_bpf__load(skeleton.get()); error != 0) {
    skeleton.reset();
    errno = -error;
    return nullptr;
  }
  return skeleton;
}

namespace {

TargetPlace place_for(const AttachOptions& options) {
  return options.place != nullptr ? place_of(options.place) : place_of_target();
}

}  // namespace

std::optional<Link> attach_by_keeper(LinkRequest request, const std::string& path) {
  LinkKeeper* keeper = LinkKeeper::current();
  if (keeper == nullptr) return std::nullopt;
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return Link();
  const std::vector<std::uint64_t> no_cookies(request.offsets.size());
  request.file_fd = file.get();
  if (request.cookies.empty()) request.cookies = no_cookies;
  LinkKeeper::Attached attached = keeper->attach(request);
  if (attached.error != 0) errno = attached.error;
  return std::move(attached.link);
}

Link attach_single(const bpf_program* program, const AttachOptions& options) {
  const auto place = place_for(options);
  const LinkRequest request{.program_fd = bpf_program__fd(program),
                            .kind = LinkKind::single,
                            .on_return = options.on_return,
                            .pid = options.this_process_only ? ::getpid() : -1,
                            .offsets = {&place.offset, 1},
                            .cookies = {&options.cookie, 1}};
  if (auto kept = attach_by_keeper(request, place.path)) return std::move(*kept);
  LIBBPF_OPTS(bpf_uprobe_opts, uprobe, .bpf_cookie = options.cookie, .retprobe = options.on_return);
  return Link(bpf_program__attach_uprobe_opts(program, options.this_process_only ? 0 : -1,
                                              place.path.c_str(), place.offset, &uprobe));
}

Link attach_multi(const bpf_program* program, const AttachOptions& options) {
  const auto place = place_for(options);
  const LinkRequest request{.program_fd = bpf_program__fd(program),
                            .kind = LinkKind::multi,
                            .on_return = options.on_return,
                            .pid = options.this_process_only ? ::getpid() : -1,
                            .offsets = {&place.offset, 1},
                            .cookies = {&options.cookie, 1}};
  if (auto kept = attach_by_keeper(request, place.path)) return std::move(*kept);
  const __u64 cookie = options.cookie;
  LIBBPF_OPTS(bpf_uprobe_multi_opts, multi, .offsets = &place.offset,
              .cookies = cookie != 0 ? &cookie : nullptr, .cnt = 1, .retprobe = options.on_return);
  return Link(bpf_program__attach_uprobe_multi(program, options.this_process_only ? ::getpid() : -1,
                                               place.path.c_str(), nullptr, &multi));
}

void detach_later(TrialContext& context, Link link, Skeleton skeleton) {
  if (LinkKeeper::current() != nullptr) {  // which does it without a thread of ours
    std::vector<Link> links;
    links.push_back(std::move(link));
    detach_together(std::move(links), false);
    return;
  }
  try {
    context.detaching.push_back(std::async(
        std::launch::async,
        [link = std::move(link), skeleton = std::move(skeleton)]() mutable { link.reset(); }));
  } catch (const std::system_error&) {
    // No thread can be made. They went with the function, which was waited for.
  }
}

UniqueFd attach_session(const bpf_program* program) {
  const auto place = place_of_target();
  return create_session_link(program, place.path.c_str(), std::span(&place.offset, 1), {}, 0);
}

}  // namespace leaktrace::tracer
