// SPDX-License-Identifier: Apache-2.0
#include "user/symbolize/perf_map.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <string_view>
#include <utility>
#include <vector>

#include "user/base/file.h"
#include "user/base/foreign_file.h"
#include "user/base/log.h"

namespace leaktrace::symbolize {
namespace {

constexpr std::uint64_t kMostPerRefresh = std::uint64_t{64} << 20;
constexpr std::size_t kPiece = std::size_t{256} << 10;
static_assert(kPiece > JitNames::kLongestLine);

/// The numbers behind "Name:" in the text of /proc/PID/status.
std::vector<std::uint32_t> status_numbers(std::string_view status, std::string_view name) {
  std::vector<std::uint32_t> numbers;
  const std::size_t at = status.find(fmt::format("\n{}:", name));
  if (at == std::string_view::npos) return numbers;
  std::string_view rest = status.substr(at + name.size() + 2);
  rest = rest.substr(0, rest.find('\n'));
  for (;;) {
    rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    if (error != std::errc()) return numbers;
    numbers.push_back(value);
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
  }
}

}  // namespace

PerfMap::PerfMap(UniqueFd folder, std::string name, uid_t owner)
    : folder_(std::move(folder)), name_(std::move(name)), path_("/tmp/" + name_), owner_(owner) {}

std::optional<PerfMap> PerfMap::open(pid_t pid) {
  const auto status = read_file(fmt::format("/proc/{}/status", pid));
  if (!status) return std::nullopt;
  const auto pids = status_numbers(*status, "NSpid");  // outermost namespace first
  const auto uids = status_numbers(*status, "Uid");    // real, effective, saved, file system
  auto root = ForeignRoot::open(fmt::format("/proc/{}/root", pid));
  if (pids.empty() || uids.size() < 2 || !root) return std::nullopt;
  auto tmp = open_foreign_folder(*root, "/tmp");
  if (!tmp) return std::nullopt;
  PerfMap map(std::move(*tmp), fmt::format("perf-{}.map", pids.back()), uids[1]);
  if (auto read = map.refresh(); !read) {
    log::debug("{} of process {}: {}", map.path_, pid, read.error().what);
    return std::nullopt;
  }
  if (map.inode_ == 0) return std::nullopt;
  return map;
}

Result<void> PerfMap::refresh() {
  auto fd = open_foreign_in(folder_.get(), name_, owner_);
  if (!fd) return fd.unexpected();
  if (!*fd) return {};
  struct stat info {};
  if (::fstat(fd->get(), &info) != 0) {
    return fail(describe_errno("cannot look at the perf map", errno));
  }
  const auto size = static_cast<std::uint64_t>(info.st_size);
  if (info.st_dev != device_ || info.st_ino != inode_ || size < offset_) {
    names_.clear();
    offset_ = 0;
    device_ = info.st_dev;
    inode_ = info.st_ino;
  }
  return read_new(fd->get(), size);
}

// Not further than `size`: the process may write as fast as this reads.
Result<void> PerfMap::read_new(int fd, std::uint64_t size) {
  const std::uint64_t end = std::min(size, offset_ + kMostPerRefresh);
  std::vector<char> piece(static_cast<std::size_t>(std::min<std::uint64_t>(kPiece, end - offset_)));
  while (offset_ < end) {
    const auto wanted =
        static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), end - offset_));
    const ssize_t n = ::pread(fd, piece.data(), wanted, static_cast<off_t>(offset_));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(describe_errno("cannot read the perf map", errno));
    const std::size_t used = names_.read({piece.data(), static_cast<std::size_t>(n)});
    offset_ += used;
    if (used == 0) break;  // a line that is still being written
  }
  return {};
}

std::optional<model::SourceFrame> PerfMap::look_up(std::uint64_t address) const {
  const std::string* name = names_.find(address);
  return name == nullptr ? std::nullopt : std::optional(split_jit_name(*name));
}

std::optional<model::FileLoss> PerfMap::loss() const {
  const std::uint64_t lost = names_.malformed() + names_.left_out();
  if (lost == 0) return std::nullopt;
  return model::FileLoss{
      .path = path_,
      .subject = model::FileSubject::symbols,
      .count = lost,
      .why = fmt::format("{} lines of the perf map were not understood, {} names found no room",
                         names_.malformed(), names_.left_out())};
}

}  // namespace leaktrace::symbolize
