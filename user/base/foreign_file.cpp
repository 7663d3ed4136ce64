// SPDX-License-Identifier: Apache-2.0
#include "user/base/foreign_file.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <vector>

#include "user/base/file.h"

namespace leaktrace {
namespace {

// Not in <linux/magic.h>: fs/configfs/mount.c, fs/fuse/control.c.
constexpr long kConfigFs = 0x62656570;
constexpr long kFuseControlFs = 0x65735543;

// File systems whose files are calls into the kernel: reading one can block, take what someone else
// waits for (/proc/kmsg), or show what is not the process's own.
constexpr std::array kKernelFileSystems = {long{PROC_SUPER_MAGIC},
                                           long{SYSFS_MAGIC},
                                           long{DEBUGFS_MAGIC},
                                           long{TRACEFS_MAGIC},
                                           long{CGROUP_SUPER_MAGIC},
                                           long{CGROUP2_SUPER_MAGIC},
                                           long{BPF_FS_MAGIC},
                                           long{SECURITYFS_MAGIC},
                                           long{SELINUX_MAGIC},
                                           long{SMACK_MAGIC},
                                           long{EFIVARFS_MAGIC},
                                           long{PSTOREFS_MAGIC},
                                           long{BINFMTFS_MAGIC},
                                           long{NSFS_MAGIC},
                                           long{DEVPTS_SUPER_MAGIC},
                                           long{RDTGROUP_SUPER_MAGIC},
                                           long{AAFS_MAGIC},
                                           kConfigFs,
                                           kFuseControlFs};

UniqueFd resolve(int folder, const char* path, std::uint64_t flags, std::uint64_t how_to_resolve) {
  struct open_how how {};
  how.flags = O_PATH | O_CLOEXEC | flags;
  how.resolve = RESOLVE_NO_MAGICLINKS | how_to_resolve;
  return UniqueFd(static_cast<int>(::syscall(SYS_openat2, folder, path, &how, sizeof(how))));
}

/// Finds what has that name without opening it.
UniqueFd find(const ForeignRoot& root, const std::string& path, std::uint64_t flags) {
  if (!root.is_host()) return resolve(root.fd(), path.c_str(), flags, RESOLVE_IN_ROOT);
  const UniqueFd own_root(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  return own_root ? resolve(own_root.get(), path.c_str(), flags, RESOLVE_IN_ROOT) : UniqueFd();
}

bool is_absent(int error) {
  return error == ENOENT || error == ENOTDIR || error == ESRCH;
}

Result<void> check(int found, std::optional<uid_t> owner) {
  struct stat info {};
  if (::fstat(found, &info) != 0) return fail(describe_errno("cannot look at the file", errno));
  if (!S_ISREG(info.st_mode)) return fail("not a regular file");
  if (owner && info.st_uid != *owner && info.st_uid != 0) {
    return fail("it belongs to another user than the process");
  }
  if (static_cast<std::uint64_t>(info.st_size) > kMaxForeignFile) {
    return fail(fmt::format("it is larger than {} GiB", kMaxForeignFile >> 30));
  }
  struct statfs system {};
  if (::fstatfs(found, &system) != 0) {
    return fail(describe_errno("cannot look at the file system", errno));
  }
  if (std::ranges::count(kKernelFileSystems, static_cast<long>(system.f_type)) > 0) {
    return fail("it is a file of the kernel");
  }
  return {};
}

/// Opens the very file that was found. O_NONBLOCK: another process may hold a lease on it.
Result<UniqueFd> open_found(UniqueFd found, std::optional<uid_t> owner = {}) {
  if (auto checked = check(found.get(), owner); !checked) return checked.unexpected();
  UniqueFd opened(::open(fmt::format("/proc/self/fd/{}", found.get()).c_str(),
                         O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!opened) return fail(describe_errno("cannot open the file", errno));
  return opened;
}

ForeignOpener& replaced_opener() {
  static ForeignOpener opener;
  return opener;
}

Result<UniqueFd> named(const std::string& name, Result<UniqueFd> opened) {
  if (!opened) return fail(fmt::format("{}: {}", name, opened.error().what));
  return opened;
}

Result<std::uint64_t> copy_bytes(int from, int to, std::uint64_t max_bytes) {
  std::vector<char> piece(std::size_t{1} << 20);
  std::uint64_t copied = 0;
  for (;;) {
    const ssize_t n = ::pread(from, piece.data(), piece.size(), static_cast<off_t>(copied));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(describe_errno("cannot read the file", errno));
    if (n == 0) return copied;
    copied += static_cast<std::uint64_t>(n);
    if (copied > max_bytes) return fail(fmt::format("it is larger than {} MiB", max_bytes >> 20));
    auto written = write_all(to, {piece.data(), static_cast<std::size_t>(n)});
    if (!written) return written.unexpected();
  }
}

}  // namespace

Result<ForeignRoot> ForeignRoot::open(const std::string& folder) {
  UniqueFd fd(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return fail(describe_errno("cannot open the folder " + folder, errno));
  ForeignRoot root;
  root.folder_ = std::make_shared<UniqueFd>(std::move(fd));
  root.name_ = folder;
  return root;
}

ForeignRoot ForeignRoot::from(UniqueFd folder, std::string name) {
  ForeignRoot root;
  root.folder_ = std::make_shared<UniqueFd>(std::move(folder));
  root.name_ = std::move(name);
  return root;
}

ForeignRoot ForeignRoot::none() {
  ForeignRoot root;
  root.folder_ = std::make_shared<UniqueFd>();
  return root;
}

void open_foreign_through(ForeignOpener opener) {
  replaced_opener() = std::move(opener);
}

Result<UniqueFd> open_foreign(const ForeignRoot& root, const std::string& path) {
  if (replaced_opener()) return replaced_opener()(root, path);
  const std::string name = root.name() + path;
  if (!path.starts_with('/')) return fail(fmt::format("{}: not an absolute path", name));
  if (root.is_none()) return UniqueFd();
  UniqueFd found = find(root, path, 0);
  if (!found && is_absent(errno)) return UniqueFd();
  if (!found) return fail(describe_errno("cannot find " + name, errno));
  return named(name, open_found(std::move(found)));
}

Result<UniqueFd> open_foreign_in(int folder, const std::string& name, uid_t owner) {
  UniqueFd found = resolve(folder, name.c_str(), O_NOFOLLOW, RESOLVE_BENEATH);
  if (!found && is_absent(errno)) return UniqueFd();
  if (!found) return fail(describe_errno("cannot find " + name, errno));
  return named(name, open_found(std::move(found), owner));
}

Result<UniqueFd> open_foreign_link(const std::string& link) {
  UniqueFd found(::open(link.c_str(), O_PATH | O_CLOEXEC));
  if (!found && is_absent(errno)) return UniqueFd();
  if (!found) return fail(describe_errno("cannot find " + link, errno));
  return named(link, open_found(std::move(found)));
}

Result<UniqueFd> open_foreign_folder(const ForeignRoot& root, const std::string& path) {
  UniqueFd found = find(root, path, O_DIRECTORY);
  if (!found) return fail(describe_errno("cannot open the folder " + root.name() + path, errno));
  return found;
}

// Of a root in another mount namespace both paths begin where that namespace does.
std::string path_in_root(const ForeignRoot& root, int fd) {
  const auto location = [](int file) {
    std::error_code error;
    return std::filesystem::read_symlink(fmt::format("/proc/self/fd/{}", file), error).string();
  };
  std::string path = location(fd);
  if (root.is_host()) return path;
  if (root.is_none()) return {};
  std::string top = location(root.fd());
  if (!top.ends_with('/')) top += '/';
  return path.starts_with(top) ? path.substr(top.size() - 1) : "";
}

Result<UniqueFd> copy_foreign(int fd, std::uint64_t max_bytes) {
  UniqueFd copy(::memfd_create("leaktrace-copy", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!copy) return fail(describe_errno("cannot make a file in memory", errno));
  if (auto copied = copy_bytes(fd, copy.get(), max_bytes); !copied) return copied.unexpected();
  constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
  if (::fcntl(copy.get(), F_ADD_SEALS, kSeals) != 0) {
    return fail(describe_errno("cannot seal a file in memory", errno));
  }
  return copy;
}

}  // namespace leaktrace
