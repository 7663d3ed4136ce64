// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/uprobe_links.h"

#include <bpf/bpf.h>
#include <fmt/core.h>
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <optional>
#include <string>

#include "user/base/file.h"
#include "user/tracer/session_link.h"

namespace leaktrace::tracer {
namespace {

/// The kernel's uprobe PMU, as libbpf's attach functions find it.
struct UprobePmu {
  std::uint32_t type = 0;
  unsigned return_bit = 0;
};

std::optional<std::uint32_t> read_number(const std::string& path, std::size_t after) {
  const auto text = read_file(path);
  std::uint32_t number = 0;
  if (!text || text->size() <= after) return std::nullopt;
  const char* last = text->data() + text->size();
  if (std::from_chars(text->data() + after, last, number).ec != std::errc{}) return std::nullopt;
  return number;
}

std::optional<UprobePmu> find_pmu() {
  const std::string folder = "/sys/bus/event_source/devices/uprobe";
  constexpr std::string_view kBefore = "config:";
  const auto type = read_number(folder + "/type", 0);
  const auto bit = read_number(folder + "/format/retprobe", kBefore.size());
  if (!type || !bit) return std::nullopt;
  return UprobePmu{.type = *type, .return_bit = *bit};
}

int attach_single(const LinkRequest& request, const char* path, std::size_t which,
                  std::vector<UniqueFd>& links) {
  static const std::optional<UprobePmu> pmu = find_pmu();
  if (!pmu) return ENOENT;
  perf_event_attr event{};
  event.size = sizeof(event);
  event.type = pmu->type;
  if (request.on_return) event.config = std::uint64_t{1} << pmu->return_bit;
  event.uprobe_path = reinterpret_cast<std::uintptr_t>(path);
  event.probe_offset = request.offsets[which];
  const int cpu = request.pid < 0 ? 0 : -1;
  UniqueFd probe(static_cast<int>(
      ::syscall(SYS_perf_event_open, &event, request.pid, cpu, -1, PERF_FLAG_FD_CLOEXEC)));
  if (!probe) return errno;
  LIBBPF_OPTS(bpf_link_create_opts, options);
  options.perf_event.bpf_cookie = request.cookies[which];
  UniqueFd link(::bpf_link_create(request.program_fd, probe.get(), BPF_PERF_EVENT, &options));
  if (!link || ::ioctl(probe.get(), PERF_EVENT_IOC_ENABLE, 0) != 0) return errno;
  links.push_back(std::move(link));
  links.push_back(std::move(probe));
  return 0;
}

}  // namespace

int create_uprobe_links(const LinkRequest& request, std::vector<UniqueFd>& links) {
  // By descriptor, so that it is the very file that the process maps, in whatever namespace.
  const std::string path = fmt::format("/proc/self/fd/{}", request.file_fd);
  if (request.kind == LinkKind::single) {
    for (std::size_t i = 0; i < request.offsets.size(); ++i) {
      if (const int error = attach_single(request, path.c_str(), i, links)) return error;
    }
    return 0;
  }
  const auto type = request.kind == LinkKind::session ? kUprobeSession : kTraceUprobeMulti;
  UniqueFd link = create_multi_link({.program_fd = request.program_fd,
                                     .type = type,
                                     .on_return = request.on_return,
                                     .path = path.c_str(),
                                     .pid = request.pid < 0 ? 0 : request.pid},
                                    request.offsets, request.cookies);
  if (!link) return errno;
  links.push_back(std::move(link));
  return 0;
}

}  // namespace leaktrace::tracer
