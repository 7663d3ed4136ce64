// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "user/base/result.h"
#include "user/base/unique_fd.h"
#include "user/unwind/table.h"

namespace leaktrace::unwind {

/// Which file a table was made from. The build id alone is not enough: tools that rewrite a file
/// (patchelf, strip) keep it, though segments move and sections go; and anybody can write a file
/// with the build id of another user's.
struct FileIdentity {
  std::string build_id;    ///< lower-case hex
  uint64_t size = 0;       ///< bytes
  uint32_t owner = 0;      ///< user id
  uint32_t head_crc = 0;   ///< of the first 4 KiB: the ELF header and the program headers
  bool cacheable = false;  ///< it has a build id, and not everybody may write to it

  /// A name for the content, without slashes.
  [[nodiscard]] std::string key() const;
};

/// The identity of an open file. Without a build id, device, inode and time of change stand for it,
/// and it is not cacheable. Does not take ownership of `fd`.
[[nodiscard]] Result<FileIdentity> identify(int fd, const std::string& build_id);

/// Compiled tables on disk, one file for each identity, so that a large library is compiled once a
/// machine and not once a trace.
///
///     magic, versions, counts, identity │ segments, pages, rules, rows
///     └────────── crc32 of all that is behind it ──────────┘
///
/// A file is believed only when it belongs to this user, nobody else may write to it, its checksum
/// is right and every index in it is within bounds; else it is as if it were not there. The version
/// is a hash of the row compiler's own sources, so a build that makes other rows never reads these.
/// Files appear whole or not at all. When they take more than the bound, those that were not used
/// for longest are deleted. All functions may be called from several threads.
class TableCache {
 public:
  /// Opens the folder, made with mode 0700 when it is not there (its parents too). Fails when it
  /// cannot be made, or belongs to, or can be written by, another user.
  [[nodiscard]] static Result<std::unique_ptr<TableCache>> open(const std::string& folder,
                                                                uint64_t most_bytes);

  /// The table of a file, or why there is none.
  [[nodiscard]] Result<Table> load(const FileIdentity& identity) const;

  /// Keeps a table. What is not cacheable is left out.
  [[nodiscard]] Result<void> store(const FileIdentity& identity, const Table& table);

 private:
  TableCache(UniqueFd folder, uint64_t most_bytes)
      : folder_(std::move(folder)), most_bytes_(most_bytes) {}
  void trim();

  UniqueFd folder_;
  uint64_t most_bytes_;
  std::mutex trimming_;
};

/// Reads a file of the cache: what load() believes, given an open file of any origin. For tests.
[[nodiscard]] Result<Table> read_cached_table(int fd, const FileIdentity& identity);

/// $XDG_CACHE_HOME/leaktrace/unwind or ~/.cache/leaktrace/unwind; for root
/// /var/cache/leaktrace/unwind. Empty when there is no home.
[[nodiscard]] std::string default_cache_folder();

}  // namespace leaktrace::unwind
