// SPDX-License-Identifier: Apache-2.0
// Where distributions put the debug information that they take out of programs.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "user/base/foreign_file.h"
#include "user/symbolize/elf_file.h"
#include "user/symbolize/file_losses.h"
#include "user/symbolize/split_package.h"

namespace leaktrace::symbolize {

/// What is known about a file whose debug file is wanted.
struct DebugFileQuery {
  std::string path;      ///< of the file, as its process sees it
  std::string build_id;  ///< lower-case hex, or empty
  std::optional<DebugLink> link;
  ForeignRoot root;  ///< names are looked up in it, and nowhere else
};

struct DebugFile {
  std::unique_ptr<ElfFile> file;
  ForeignRoot root;  ///< that it was found in: the names that are in it mean files there
};

/// The separate debug file, by build id on the host and in the root, then in the root by
/// .gnu_debuglink beside the file, in .debug beside it, and in /usr/lib/debug. Only a file of the
/// same build is taken: by build id, or by the link's checksum where a build id is missing, and for
/// the same machine as `module` (null: not known). Without a file when there is none; those of the
/// right name that are not taken are `losses` then.
[[nodiscard]] DebugFile find_debug_file(const DebugFileQuery& query, const ElfFile* module,
                                        FileLosses& losses);

/// The package of split DWARF of the file: PATH.dwp beside it and under /usr/lib/debug in the root,
/// or by build id, on the host too. Null when there is none.
[[nodiscard]] std::unique_ptr<SplitPackage> find_package(const DebugFileQuery& query);

/// The .dwo file `name` that `fits`: by its path, or relative to the file that refers to it, to
/// `location`, where that file was read, and to the folder of the compilation, all in the root.
/// Null when there is none; an error when there is only one that may not be read.
[[nodiscard]] Result<std::unique_ptr<ElfFile>> find_split_file(
    const DebugFileQuery& query, const std::string& location, const std::string& name,
    const std::string& folder, const std::function<bool(const ElfFile&)>& fits);

/// The file with that build id under /usr/lib/debug/.build-id of `root`, or null.
[[nodiscard]] std::unique_ptr<ElfFile> find_by_build_id(const std::string& build_id,
                                                        const ForeignRoot& root);

/// What .gnu_debugaltlink says: dwz moves there what several debug files share.
struct AlternateLink {
  std::string name;      ///< absolute, or relative to the folder of the file that has the link
  std::string build_id;  ///< lower-case hex
};

/// The file that the link of the debug file `path` means: by build id on the host and in the root,
/// by its name in the root. Null when there is none.
[[nodiscard]] std::unique_ptr<ElfFile> find_alternate_file(const AlternateLink& link,
                                                           const std::string& path,
                                                           const ForeignRoot& root);

}  // namespace leaktrace::symbolize
