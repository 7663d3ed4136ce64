// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "user/base/result.h"
#include "user/base/unique_fd.h"
#include "user/model/record.h"
#include "user/symbolize/jit_maps.h"

namespace leaktrace::symbolize {

/// The perf map of one process: the file /tmp/perf-PID.map, in which just-in-time compilers write
/// down what code they have made and where (node --perf-basic-prof, Java's perf-map-agent, .NET's
/// DOTNET_PerfMapEnabled, LuaJIT, CPython's -X perf).
///
/// It is looked for in the process's own /tmp under the pid that the process itself sees. Only a
/// regular file of the process's user or of root is read, and no symbolic link is followed to it:
/// in a folder that everyone may write to the file may be someone else's.
class PerfMap {
 public:
  /// Opens the file and reads it. Nothing when the process has none that may be trusted; it may
  /// have one later.
  /// `names` keeps what is read of it.
  [[nodiscard]] static std::optional<PerfMap> open(pid_t pid, std::shared_ptr<JitMaps> names);
  PerfMap(PerfMap&&) noexcept = default;
  PerfMap& operator=(PerfMap&&) noexcept = default;
  ~PerfMap();

  /// Reads what was added since, or all of it when the file is a new one. Works on when the process
  /// has exited; a file that is gone leaves the names that are known. One call reads 64 MiB at
  /// most, the next one goes on.
  [[nodiscard]] Result<void> refresh();

  /// The code at `address`, an address in the process. For a return address pass address - 1.
  [[nodiscard]] std::optional<model::SourceFrame> look_up(std::uint64_t address);

  /// Lines that were not understood, names that found no room, and what kept it from being read;
  /// nothing when there is none of that.
  [[nodiscard]] std::optional<model::FileLoss> loss() const;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  PerfMap(UniqueFd folder, std::string name, uid_t owner, std::shared_ptr<JitMaps> names);

  [[nodiscard]] Result<void> read_new(int fd, std::uint64_t size);
  void note_end(const Error& error);

  UniqueFd folder_;   ///< the process's /tmp; held, so that it can be read after the exit
  std::string name_;  ///< of the file
  std::string path_;  ///< as the process sees it
  uid_t owner_;       ///< the user that the process runs as
  dev_t device_ = 0;  ///< of the file that was read
  ino_t inode_ = 0;
  std::uint64_t offset_ = 0;  ///< up to which it was read
  std::shared_ptr<JitMaps> names_;
  JitMaps::Number number_;
  std::uint64_t generation_ = 0;  ///< of names_, which lose what they knew with it
  JitMaps::Counts counts_;        ///< as names_ said last
  unsigned ends_ = 0;             ///< times that names_ failed over it
  std::string why_ended_;
};

}  // namespace leaktrace::symbolize
