// SPDX-License-Identifier: Apache-2.0
#include "user/symbolize/open_file.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cerrno>

#include "user/base/file.h"

namespace leaktrace::symbolize {
namespace {

// Finds the file without opening it.
UniqueFd find(const std::string& path, const std::string& root) {
  if (root.empty()) return UniqueFd(::open(path.c_str(), O_PATH | O_CLOEXEC));
  UniqueFd folder(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return {};
  struct open_how how {};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  return UniqueFd(
      static_cast<int>(::syscall(SYS_openat2, folder.get(), path.c_str(), &how, sizeof(how))));
}

// By way of /proc, so that it is the very file that was found.
Result<UniqueFd> open_found(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return fail(describe_errno("cannot look at the file", errno));
  if (!S_ISREG(info.st_mode)) return fail("not a regular file");
  UniqueFd opened(::open(fmt::format("/proc/self/fd/{}", fd).c_str(), O_RDONLY | O_CLOEXEC));
  if (!opened) return fail(describe_errno("cannot open the file", errno));
  return opened;
}

}  // namespace

Result<UniqueFd> open_regular(const std::string& path, const std::string& root) {
  UniqueFd found = find(path, root);
  if (!found) return fail(describe_errno(fmt::format("cannot find {}{}", root, path), errno));
  auto opened = open_found(found.get());
  if (!opened) return fail(fmt::format("{}{}: {}", root, path, opened.error().what));
  return opened;
}

}  // namespace leaktrace::symbolize
