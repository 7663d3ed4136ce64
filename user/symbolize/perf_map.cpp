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
/// A map that ends the process that reads it so often is not read again.
constexpr unsigned kMostEnds = 2;

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

PerfMap::PerfMap(UniqueFd folder, std::string name, uid_t owner, std::shared_ptr<JitMaps> names)
    : folder_(std::move(folder)),
      name_(std::move(name)),
      path_("/tmp/" + name_),
      owner_(owner),
      names_(std::move(names)),
      number_(names_->add()),
      generation_(names_->generation()) {}

PerfMap::~PerfMap() {
  if (names_) names_->forget(number_);
}

std::optional<PerfMap> PerfMap::open(pid_t pid, std::shared_ptr<JitMaps> names) {
  const auto status = read_file(fmt::format("/proc/{}/status", pid));
  if (!status) return std::nullopt;
  const auto pids = status_numbers(*status, "NSpid");  // outermost namespace first
  const auto uids = status_numbers(*status, "Uid");    // real, effective, saved, file system
  auto root = ForeignRoot::open(fmt::format("/proc/{}/root", pid));
  if (pids.empty() || uids.size() < 2 || !root) return std::nullopt;
  auto tmp = open_foreign_folder(*root, "/tmp");
  if (!tmp) return std::nullopt;
  PerfMap map(std::move(*tmp), fmt::format("perf-{}.map", pids.back()), uids[1], std::move(names));
  if (auto read = map.refresh(); !read) {
    log::debug("{} of process {}: {}", map.path_, pid, read.error().what);
    if (map.ends_ == 0) return std::nullopt;
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
  const bool is_other = info.st_dev != device_ || info.st_ino != inode_ || size < offset_;
  if (is_other || generation_ != names_->generation()) {
    offset_ = 0;
    generation_ = names_->generation();
    device_ = info.st_dev;
    inode_ = info.st_ino;
  }
  return read_new(fd->get(), size);
}

// Not further than `size`: the process may write as fast as this reads.
Result<void> PerfMap::read_new(int fd, std::uint64_t size) {
  const std::uint64_t end = std::min(size, offset_ + kMostPerRefresh);
  if (offset_ == end || ends_ >= kMostEnds) return {};
  const auto read = names_->read(number_, fd, offset_, end);
  if (!read) {
    note_end(read.error());
    return read.unexpected();
  }
  offset_ = read->offset;
  counts_ = read->counts;
  return {};
}

std::optional<model::SourceFrame> PerfMap::look_up(std::uint64_t address) {
  if (ends_ >= kMostEnds) return std::nullopt;
  auto frame = names_->look_up(number_, address);
  if (frame) return std::move(*frame);
  note_end(frame.error());
  // Once more, by another process that reads it from the beginning.
  if (ends_ >= kMostEnds || !refresh()) return std::nullopt;
  frame = names_->look_up(number_, address);
  if (!frame) note_end(frame.error());
  return frame ? std::move(*frame) : std::nullopt;
}

void PerfMap::note_end(const Error& error) {
  ++ends_;
  why_ended_ = (ends_ >= kMostEnds ? "it gives no more names: " : "") + error.what;
}

std::optional<model::FileLoss> PerfMap::loss() const {
  const std::uint64_t lost = counts_.malformed + counts_.left_out;
  if (lost == 0 && ends_ == 0) return std::nullopt;
  std::string why = why_ended_;
  if (lost > 0) {
    if (!why.empty()) why += "; ";
    why += fmt::format("{} lines of the perf map were not understood, {} names found no room",
                       counts_.malformed, counts_.left_out);
  }
  return model::FileLoss{
      .path = path_, .subject = model::FileSubject::symbols, .count = lost, .why = std::move(why)};
}

}  // namespace leaktrace::symbolize
