// SPDX-License-Identifier: Apache-2.0
// The files that an overlay file system is made of.
//
// A file of an overlay is a file of one of its layers. When it is changed for the first time, even
// by chmod or touch, it is copied from a lower layer to the upper one, and from then on its name
// means the copy. A process that had mapped it before still has the lower file, and the kernel puts
// a probe on the file that the name means now (d_real_inode() in bpf_uprobe_multi_link_attach() and
// perf_uprobe_init()); /proc/PID/map_files leads to the name, too.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "user/base/foreign_file.h"
#include "user/base/unique_fd.h"

namespace leaktrace::tracer {

/// One line of /proc/PID/mountinfo (proc(5)), octal escapes undone in `root` and `point`.
struct Mount {
  std::uint64_t id = 0;
  std::string device;   ///< of the file system, "0:41"
  std::string root;     ///< what of the file system is mounted
  std::string point;    ///< where, as the process sees it
  std::string type;     ///< "overlay"
  std::string options;  ///< of the file system, escapes and all
};

/// Parses the text; lines that are not of its form are left out.
[[nodiscard]] std::vector<Mount> parse_mountinfo(std::string_view text);

/// The folders of an overlay's layers by its mount options, the upper one first. Layers with data
/// only (after "::", and datadir+) are not among them.
[[nodiscard]] std::vector<std::string> overlay_layers(std::string_view options);

/// Is it a file of an overlay?
[[nodiscard]] bool is_on_overlay(int fd);

/// The files in the layers that the file may be or have been, opened to read, upper first. `fd`:
/// the file, `path`: as /proc/PID/maps has it, `root`: of the process. None when it is on no
/// overlay, and where the layers are out of reach. They are looked for on the host where it has
/// mounted the overlay too, else in the process's own root. Whoever mounts an overlay chooses the
/// names: the caller must see for itself that a file is the one it wants.
[[nodiscard]] std::vector<UniqueFd> layer_files(int fd, pid_t pid, const ForeignRoot& root,
                                                std::string_view path);

}  // namespace leaktrace::tracer
