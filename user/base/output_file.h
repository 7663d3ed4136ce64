// SPDX-License-Identifier: Apache-2.0
// Files that leaktrace writes for its user, as root perhaps and into folders of others.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "user/base/result.h"
#include "user/base/unique_fd.h"

namespace leaktrace {

/// A file that is written under a random name of its own in the folder of `path`, and takes the
/// place of what is there with publish(): nothing is ever written through a file or a link that
/// someone has put there. New files are for their owner only (0600).
///
///   .leaktrace-RANDOM.tmp   locked (flock) while its writer lives; what a dead run has left
///                           behind is removed by the next one that writes into the folder
///
/// What `path` names decides:
///   nothing, a regular file   replaced as a whole
///   a symbolic link           the link is replaced, not what it leads to; but one of this user or
///                             of root that leads to a pipe or a device stands for that
///   a pipe, a terminal, a character device such as /dev/null   written to directly, when it
///                             belongs to this user or to root
///   /dev/stdout, /dev/fd/N    written to directly, whatever it is
///   a folder, a disk, a socket   an error
class OutputFile {
 public:
  /// Opens it, so that a path that cannot be written is known at once. An error names the path.
  [[nodiscard]] static Result<OutputFile> create(const std::string& path);

  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&& other) noexcept;
  /// Removes what was not published.
  ~OutputFile();

  [[nodiscard]] int fd() const { return fd_.get(); }
  /// It is written to directly: there is nothing to replace, and nothing to cut.
  [[nodiscard]] bool is_direct() const { return temporary_.empty() && !published_; }
  /// The regular file that publish() will replace, opened for reading; nothing when there is none.
  [[nodiscard]] Result<std::optional<UniqueFd>> open_present() const;

  /// Gives the file its name. The descriptor stays open. May be called again, and then does
  /// nothing.
  [[nodiscard]] Result<void> publish();
  /// One more file for the same path, in the same folder. Only after publish().
  [[nodiscard]] Result<OutputFile> next() const;

 private:
  OutputFile() = default;
  [[nodiscard]] Result<void> make_temporary();

  std::string path_;  ///< as the user gave it, for messages
  std::string name_;  ///< in the folder
  std::string temporary_;
  std::shared_ptr<UniqueFd> folder_;
  UniqueFd fd_;
  bool published_ = false;
};

/// A file that appears under its name whole or not at all, and may have several whole versions.
class AtomicFile {
 public:
  /// See OutputFile::create().
  [[nodiscard]] static Result<AtomicFile> create(const std::string& path);

  /// Replaces the content with `bytes`. What is no regular file gets each version after the other.
  [[nodiscard]] Result<void> commit(std::string_view bytes);

 private:
  AtomicFile(std::string path, OutputFile file) : path_(std::move(path)), file_(std::move(file)) {}

  std::string path_;
  OutputFile file_;
  bool used_ = false;  ///< file_ is a version that has its name
};

}  // namespace leaktrace
