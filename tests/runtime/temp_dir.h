// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

namespace leaktrace::runtime {

/// A directory of one test's own, gone with it.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  [[nodiscard]] std::string path() const { return path_; }
  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

/// The whole of a file; empty when it cannot be read. Follows files of /proc too.
[[nodiscard]] std::string read_whole(const std::string& path);

void write_whole(const std::string& path, const std::string& content);

}  // namespace leaktrace::runtime
