// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "user/base/result.h"
#include "user/unwind/table.h"

namespace leaktrace::unwind {

/// Makes tables of files: in this process, which this class does, or in another one (RemoteTables).
class TableSource {
 public:
  TableSource() = default;
  virtual ~TableSource() = default;
  TableSource(const TableSource&) = delete;
  TableSource& operator=(const TableSource&) = delete;

  /// read_table().
  [[nodiscard]] virtual Result<Table> read(int fd) { return read_table(fd); }
};

}  // namespace leaktrace::unwind
