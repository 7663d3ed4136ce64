// SPDX-License-Identifier: Apache-2.0
#include "user/postgres/sql_cache.h"

#include "user/postgres/utf8.h"

namespace leaktrace::postgres {
namespace {

constexpr std::size_t kMostShown = 1024;

}  // namespace

SqlText::SqlText(std::string_view text, bool cut, SqlReader& reader)
    : text_(text), cut_(cut), matters_(may_matter(text_)) {
  if (matters_) parsed_ = reader.parse(text_, cut);
  if (!matters_ && cut) {  // what it goes on with is not known
    matters_ = true;
    parsed_.complete = false;
  }
}

std::shared_ptr<SqlText> SqlCache::get(std::string_view text, bool cut) {
  std::string key(text);
  key += cut ? '+' : '.';
  if (auto found = texts_.find(key)) return found;
  auto made = std::make_shared<SqlText>(text, cut, reader_);
  texts_.insert(key, made);
  return made;
}

SharedText SqlCache::shown(SqlText& sql, std::size_t statement) {
  const auto& statements = sql.parsed().statements;
  if (sql.shown_.size() <= statement) sql.shown_.resize(statement + 1);
  SharedText& kept = sql.shown_[statement];
  if (!kept) kept = shown(statement < statements.size() ? statements[statement].text : sql.text());
  return kept;
}

SharedText SqlCache::shown(std::string_view text) {
  std::string made =
      raw_sql_ ? clipped_utf8(text, kMostShown) : reader_.normalize(text, kMostShown);
  if (auto found = shown_.find(made)) return found;
  auto shared = std::make_shared<const std::string>(std::move(made));
  shown_.insert(*shared, shared);
  return shared;
}

}  // namespace leaktrace::postgres
