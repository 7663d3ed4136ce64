// SPDX-License-Identifier: Apache-2.0
#include "user/base/file.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace leaktrace {
namespace {

Result<UniqueFd> open_temporary(const std::string& path, std::string& temporary) {
  temporary = fmt::format("{}.{}.tmp", path, ::getpid());
  UniqueFd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd) {
    return fail(describe_errno(fmt::format("cannot write {}", path), errno),
                "name a file in a folder that you may write to with -o");
  }
  return fd;
}

}  // namespace

std::string describe_errno(std::string_view what, int error) {
  return fmt::format("{}: {}", what, std::strerror(error));
}

Result<std::string> read_file(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail(describe_errno("cannot open " + path, errno));
  std::string content;
  std::array<char, 16384> buffer{};
  for (;;) {
    ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(describe_errno("cannot read " + path, errno));
    if (n == 0) return content;
    content.append(buffer.data(), static_cast<std::size_t>(n));
  }
}

Result<void> write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(describe_errno("cannot write", errno));
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

Result<AtomicFile> AtomicFile::create(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!fd) return fail(describe_errno(fmt::format("cannot write {}", path), errno));
    return AtomicFile(path, {}, std::move(fd));
  }
  std::string temporary;
  auto fd = open_temporary(path, temporary);
  if (!fd) return fd.unexpected();
  return AtomicFile(path, std::move(temporary), std::move(*fd));
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, {})),
      fd_(std::move(other.fd_)) {}

AtomicFile& AtomicFile::operator=(AtomicFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(temporary_, other.temporary_);
  std::swap(fd_, other.fd_);
  return *this;
}

AtomicFile::~AtomicFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

Result<void> AtomicFile::commit(std::string_view bytes) {
  if (temporary_.empty() && !fd_) {  // a further version of a file already given its name
    auto fd = open_temporary(path_, temporary_);
    if (!fd) return fd.unexpected();
    fd_ = std::move(*fd);
  }
  auto written = write_all(fd_.get(), bytes);
  if (!written) return fail(fmt::format("{}: {}", path_, written.error().what));
  if (temporary_.empty()) return {};
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    return fail(describe_errno(fmt::format("cannot rename {} to {}", temporary_, path_), errno));
  }
  temporary_.clear();
  fd_.reset();
  return {};
}

}  // namespace leaktrace
