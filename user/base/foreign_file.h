// SPDX-License-Identifier: Apache-2.0
// The one place that opens files whose name or content a traced process may have chosen: programs,
// libraries, debug files, perf maps. leaktrace may run as root, so a name is resolved in the
// process's own root only, and nothing but a regular file is ever opened: opening a pipe or a
// device can block or have effects, and files of the kernel (/proc/kmsg, /proc/1/mem) are no user's
// data.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "user/base/result.h"
#include "user/base/unique_fd.h"

namespace leaktrace {

/// Larger files are not opened. Debug files of the largest programs take some 5 GB.
inline constexpr std::uint64_t kMaxForeignFile = std::uint64_t{16} << 30;

/// The folder that is "/" for the names of a process. Held open, so that it stays the same folder
/// when the process exits and its pid is used again. Copies share the descriptor.
class ForeignRoot {
 public:
  /// leaktrace's own "/": for recordings, whose processes are gone, and for the debug files that
  /// the host has by build id.
  ForeignRoot() = default;
  /// `folder`, such as "/proc/PID/root".
  [[nodiscard]] static Result<ForeignRoot> open(const std::string& folder);

  /// The folder that another process opened; without one, as none().
  [[nodiscard]] static ForeignRoot from(UniqueFd folder, std::string name);

  /// Has no files: of a process that is gone.
  [[nodiscard]] static ForeignRoot none();

  [[nodiscard]] bool is_host() const { return folder_ == nullptr; }
  [[nodiscard]] bool is_none() const { return folder_ && !*folder_; }
  /// For messages: what `open` was given; empty for the host.
  [[nodiscard]] const std::string& name() const { return name_; }
  /// The folder's descriptor (O_PATH), or -1 for the host and for none.
  [[nodiscard]] int fd() const { return folder_ ? folder_->get() : -1; }

 private:
  std::shared_ptr<UniqueFd> folder_;
  std::string name_;
};

/// Opens the regular file `path`, which is absolute, for reading. Symbolic links and ".." stay in
/// `root`; links of /proc (exe, fd/N, root) are not followed. The descriptor is empty when there is
/// no such file. Errors say why a file that is there is not read: it is not a regular file, belongs
/// to the kernel (procfs, sysfs and the like), is larger than kMaxForeignFile, or may not be
/// opened.
[[nodiscard]] Result<UniqueFd> open_foreign(const ForeignRoot& root, const std::string& path);

/// From now on open_foreign() asks `opener` in its place, which answers as it does: in a process
/// that may open no files itself. For the whole process; before it has threads.
using ForeignOpener =
    std::function<Result<UniqueFd>(const ForeignRoot& root, const std::string& path)>;
void open_foreign_through(ForeignOpener opener);

/// As open_foreign() for `name` in the open folder `folder`; no symbolic link is followed. `owner`:
/// the file must belong to this user or to root, for folders in which everyone may make files.
[[nodiscard]] Result<UniqueFd> open_foreign_in(int folder, const std::string& name, uid_t owner);

/// The same for what a link of /proc leads to ("/proc/PID/exe", "/proc/PID/map_files/…"): the very
/// file, whatever its name is now.
[[nodiscard]] Result<UniqueFd> open_foreign_link(const std::string& link);

/// A folder of the root, such as "/tmp", for open_foreign_in (O_PATH).
[[nodiscard]] Result<UniqueFd> open_foreign_folder(const ForeignRoot& root,
                                                   const std::string& path);

/// Where the kernel says that an open file lies in the root now, links resolved; empty when that is
/// outside of the root.
[[nodiscard]] std::string path_in_root(const ForeignRoot& root, int fd);

/// A copy of the file in memory that nobody can change or cut any more (a sealed memfd, close on
/// exec): for libraries that map what they are given. An error when it takes more than `max_bytes`.
[[nodiscard]] Result<UniqueFd> copy_foreign(int fd, std::uint64_t max_bytes);

}  // namespace leaktrace
