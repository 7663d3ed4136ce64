// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/presence.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "user/tracer/file_bytes.h"
#include "user/tracer/mapped_code.h"

namespace leaktrace::tracer {
namespace {

constexpr std::size_t kMostNamed = 5;

}  // namespace

Presence see_probes(pid_t pid, const std::vector<Mapping>& maps, const Mapping& file, int fd,
                    std::span<const std::uint64_t> offsets) {
  const MappedCode code(pid, maps, file);
  Presence presence;
  for (std::uint64_t offset : offsets) {
    const ProbeState state = code.probe_state(fd, offset);
    if (state == ProbeState::there) ++presence.there;
    if (state == ProbeState::missing) ++presence.missing;
  }
  return presence;
}

bool has_same_code(int fd, int other, std::span<const Hook> hooks) {
  const auto same = [&](std::uint64_t offset, std::size_t size) {
    const auto bytes = read_bytes(fd, offset, size);
    return bytes.size() == size && bytes == read_bytes(other, offset, size);
  };
  const auto same_site = [&](const ProbeSite& site) {
    const std::uint64_t end = site.offset + std::max<std::size_t>(site.size, 1);
    const std::uint64_t from = std::min(site.entry, site.offset);
    return same(from, static_cast<std::size_t>(end - from));
  };
  return std::ranges::all_of(hooks, [&](const Hook& hook) {
    return same_site(hook.site) && std::ranges::all_of(hook.returns, same_site);
  });
}

std::string missing_words(bool on_overlay) {
  if (!on_overlay) return "the kernel put no probe into that memory (is the code writable there?)";
  return "the file was changed (chmod, chown, touch, relabel) after the process had mapped it, so "
         "that its overlay file system has made a copy, and the file below is out of reach; a "
         "process that starts now is seen";
}

ProbeLoss ProbeLosses::all_of(const std::string& path, const OfFile& file) {
  ProbeLoss all{.path = path, .count = file.declined.count, .why = file.declined.why};
  if (file.processes.empty()) return all;
  all.count = std::max<std::uint64_t>(all.count, file.missing);
  std::string words =
      fmt::format("no probe on it is in the memory of process{} {}",
                  file.processes.size() == 1 ? "" : "es", fmt::join(file.processes, ", "));
  if (file.more > 0) words += fmt::format(" and {} more", file.more);
  words += ": " + missing_words(file.on_overlay);
  all.why += (all.why.empty() ? "" : "; ") + words;
  return all;
}

ProbeLoss ProbeLosses::declined(const ProbeLoss& loss) {
  OfFile& file = files_[loss.path];
  file.declined = loss;
  return all_of(loss.path, file);
}

ProbeLoss ProbeLosses::missing(const std::string& path, pid_t pid, std::size_t count,
                               bool on_overlay) {
  OfFile& file = files_[path];
  if (file.processes.size() < kMostNamed) {
    file.processes.insert(pid);
  } else if (!file.processes.contains(pid)) {
    ++file.more;
  }
  file.missing = std::max(file.missing, count);
  file.on_overlay |= on_overlay;
  return all_of(path, file);
}

}  // namespace leaktrace::tracer
