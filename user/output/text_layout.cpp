// SPDX-License-Identifier: Apache-2.0
#include "user/output/text_layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "user/base/printable.h"

namespace leaktrace::output {
namespace {

std::pair<std::string_view, std::string_view> nouns(model::Kind kind) {
  switch (kind) {
    case model::Kind::mmap:
      return {"mapping", "mappings"};
    case model::Kind::pg_connection:
      return {"connection", "connections"};
    case model::Kind::pg_result:
      return {"result", "results"};
    case model::Kind::pg_buffer:
      return {"buffer", "buffers"};
    case model::Kind::pg_large_object:
      return {"large object", "large objects"};
    case model::Kind::pg_statement:
      return {"prepared statement", "prepared statements"};
    case model::Kind::pg_cursor:
      return {"cursor", "cursors"};
    case model::Kind::pg_copy:
      return {"protocol mode", "protocol modes"};
    case model::Kind::heap:
      break;
  }
  return {"block", "blocks"};
}

}  // namespace

std::string wrapped(std::string_view text, std::size_t used, std::size_t indent) {
  std::string out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    if (!out.empty() && used + 1 + columns(word) > kWidth) {
      out += '\n' + std::string(indent, ' ');
      used = indent;
    } else if (!out.empty()) {
      out += ' ';
      ++used;
    }
    out += word;
    used += columns(word);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

std::string paragraph(const std::string& prefix, std::string_view text) {
  const std::size_t indent = columns(prefix);
  return prefix + wrapped(text, indent, indent) + '\n';
}

std::string counted(std::uint64_t count, std::string_view one, std::string_view many) {
  return fmt::format("{} {}", count, count == 1 ? one : many);
}

std::string_view one_of(model::Kind kind) {
  return nouns(kind).first;
}

std::string_view many_of(model::Kind kind) {
  return nouns(kind).second;
}

std::string resources(model::Kind kind, std::uint64_t count) {
  return counted(count, one_of(kind), many_of(kind));
}

std::string count_rate(model::Kind kind, double per_second) {
  if (std::abs(per_second) < 0.005) return {};
  return fmt::format(", {:+.{}f} {}/s", per_second, std::abs(per_second) < 10 ? 2 : 0,
                     many_of(kind));
}

}  // namespace leaktrace::output
