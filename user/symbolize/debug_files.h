// SPDX-License-Identifier: Apache-2.0
// Where distributions put the debug information that they take out of programs.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "user/symbolize/elf_file.h"
#include "user/symbolize/file_losses.h"
#include "user/symbolize/split_package.h"

namespace leaktrace::symbolize {

/// What is known about a file whose debug file is wanted.
struct DebugFileQuery {
  std::string path;      ///< of the file, as its process sees it
  std::string build_id;  ///< lower-case hex, or empty
  std::optional<DebugLink> link;
  std::string root;  ///< looked in after the host's own folders; "/proc/PID/root" or empty
};

/// The separate debug file, by build id, then by .gnu_debuglink beside the file, in .debug beside
/// it, and in /usr/lib/debug. Only a file of the same build is taken: by build id, or by the
/// link's checksum where a build id is missing, and for the same machine as `module` (null: not
/// known). Null when there is none; files of the right name that are not taken are `losses` then.
[[nodiscard]] std::unique_ptr<ElfFile> find_debug_file(const DebugFileQuery& query,
                                                       const ElfFile* module, FileLosses& losses);

/// The package of split DWARF of the file: PATH.dwp beside it and under /usr/lib/debug, or by build
/// id. Null when there is none.
[[nodiscard]] std::unique_ptr<SplitPackage> find_package(const DebugFileQuery& query);

/// The .dwo file `name` that `fits`: by its path, or relative to the file that refers to it, to
/// `location`, where that file was read, and to the folder of the compilation. Null when there is
/// none.
[[nodiscard]] std::unique_ptr<ElfFile> find_split_file(
    const DebugFileQuery& query, const std::string& location, const std::string& name,
    const std::string& folder, const std::function<bool(const ElfFile&)>& fits);

/// The file with that build id under /usr/lib/debug/.build-id of `root` (empty: the host), or null.
[[nodiscard]] std::unique_ptr<ElfFile> find_by_build_id(const std::string& build_id,
                                                        const std::string& root);

/// What .gnu_debugaltlink says: dwz moves there what several debug files share.
struct AlternateLink {
  std::string name;      ///< absolute, or relative to the folder of the file that has the link
  std::string build_id;  ///< lower-case hex
};

/// The file that the link of the debug file `path` means, or null.
[[nodiscard]] std::unique_ptr<ElfFile> find_alternate_file(const AlternateLink& link,
                                                           const std::string& path,
                                                           const std::string& root);

}  // namespace leaktrace::symbolize
