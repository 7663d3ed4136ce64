// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "user/model/record.h"

namespace leaktrace::symbolize {

/// What could not be read of which file, by cause. Bounded: of one file a few causes are told
/// apart.
class FileLosses {
 public:
  /// `parts` of the file (units, functions, names) were left out; 0: all of it. The same cause
  /// again adds up.
  void add(const std::string& path, const std::string& why, std::uint64_t parts = 0);
  void add(const FileLosses& others);
  /// Calls visit(path, why, parts) for each, ordered.
  template <typename Visit>
  void each(const Visit& visit) const {
    for (const auto& [path, causes] : files_) {
      for (const auto& [why, parts] : causes) visit(path, why, parts);
    }
  }
  void clear() { files_.clear(); }

  /// One record a file, its causes in one line.
  [[nodiscard]] std::vector<model::FileLoss> list() const;

 private:
  using Causes = std::map<std::string, std::uint64_t>;
  std::map<std::string, Causes> files_;
};

}  // namespace leaktrace::symbolize
