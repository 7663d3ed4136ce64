// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "user/postgres/sql.h"

namespace leaktrace::postgres {

/// Reads SQL: in this process as sql.h has it, which this class does, or in another one
/// (RemoteSql).
class SqlReader {
 public:
  SqlReader() = default;
  virtual ~SqlReader() = default;
  SqlReader(const SqlReader&) = delete;
  SqlReader& operator=(const SqlReader&) = delete;

  /// parse_sql(). The result's views are into `text`.
  [[nodiscard]] virtual ParsedSql parse(std::string_view text, bool cut) {
    return parse_sql(text, cut);
  }
  /// normalize_sql().
  [[nodiscard]] virtual std::string normalize(std::string_view text, std::size_t most) {
    return normalize_sql(text, most);
  }
};

}  // namespace leaktrace::postgres
