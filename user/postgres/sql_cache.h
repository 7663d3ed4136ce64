// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "user/postgres/sql.h"
#include "user/postgres/sql_reader.h"

namespace leaktrace::postgres {

using SharedText = std::shared_ptr<const std::string>;

/// The SQL of a command. Most programs send the same texts again and again, so they share it.
class SqlText {
 public:
  SqlText(std::string_view text, bool cut, SqlReader& reader);
  SqlText(const SqlText&) = delete;  // `parsed_` points into `text_`
  SqlText& operator=(const SqlText&) = delete;

  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] bool cut() const { return cut_; }
  /// False: it does nothing that is tracked, and was not parsed.
  [[nodiscard]] bool matters() const { return matters_; }
  [[nodiscard]] const ParsedSql& parsed() const { return parsed_; }

 private:
  friend class SqlCache;

  std::string text_;
  bool cut_ = false;
  bool matters_ = false;
  ParsedSql parsed_;
  std::vector<SharedText> shown_;  ///< by statement, made when it is asked for
};

/// A map that forgets what was not asked for lately: what has not been used while the younger half
/// filled up.
template <typename Value>
class RecentlyUsed {
 public:
  explicit RecentlyUsed(std::size_t most_bytes) : most_bytes_(most_bytes) {}

  /// The value of the key, or null.
  Value find(const std::string& key) {
    if (auto found = young_.find(key); found != young_.end()) return found->second;
    auto found = old_.find(key);
    if (found == old_.end()) return {};
    Value value = found->second;
    insert(key, value);
    return value;
  }

  void insert(const std::string& key, Value value) {
    constexpr std::size_t kOverhead = 256;
    bytes_ += 2 * key.size() + kOverhead;
    if (bytes_ > most_bytes_) {
      old_ = std::exchange(young_, {});
      bytes_ = 2 * key.size() + kOverhead;
    }
    young_.insert_or_assign(key, std::move(value));
  }

 private:
  std::size_t most_bytes_;
  std::size_t bytes_ = 0;
  std::unordered_map<std::string, Value> young_;
  std::unordered_map<std::string, Value> old_;
};

/// Parsed SQL, and SQL as it is shown, each text kept once.
class SqlCache {
 public:
  /// `reader` must outlive it.
  SqlCache(bool raw_sql, SqlReader& reader) : raw_sql_(raw_sql), reader_(reader) {}

  [[nodiscard]] std::shared_ptr<SqlText> get(std::string_view text, bool cut);
  /// The statement as reports show it.
  [[nodiscard]] SharedText shown(SqlText& sql, std::size_t statement);
  [[nodiscard]] SharedText shown(std::string_view text);

 private:
  static constexpr std::size_t kMostBytes = std::size_t{4} << 20;

  bool raw_sql_;
  SqlReader& reader_;
  RecentlyUsed<std::shared_ptr<SqlText>> texts_{kMostBytes};
  RecentlyUsed<SharedText> shown_{kMostBytes};
};

}  // namespace leaktrace::postgres
