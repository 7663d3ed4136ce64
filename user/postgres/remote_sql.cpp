// SPDX-License-Identifier: Apache-2.0
#include "user/postgres/remote_sql.h"

#include <cstdint>
#include <optional>
#include <utility>

#include "user/base/log.h"
#include "user/base/message.h"
#include "user/postgres/utf8.h"

namespace leaktrace::postgres {
namespace {

// Questions; the answers have the same number.
constexpr std::uint32_t kParse = 1;      ///< is it cut, text
constexpr std::uint32_t kNormalize = 2;  ///< most bytes, text

/// NAMEDATALEN of the server: longer names are cut.
constexpr std::size_t kLongestName = 63;

Packer packed(const ParsedSql& parsed, std::string_view text) {
  Packer packer;
  packer.number(parsed.by_grammar ? 1 : 0);
  packer.number(parsed.complete ? 1 : 0);
  packer.number(parsed.statements.size());
  for (const Statement& statement : parsed.statements) {
    packer.number(static_cast<std::uint64_t>(statement.verb));
    packer.text(statement.name);
    packer.number(statement.hold ? 1 : 0);
    const bool has_text = !statement.text.empty();
    packer.number(has_text ? static_cast<std::uint64_t>(statement.text.data() - text.data()) : 0);
    packer.number(statement.text.size());
  }
  return packer;
}

std::optional<Statement> unpack_statement(Unpacker& body, std::string_view text) {
  const std::uint64_t verb = body.number();
  std::string name = body.text();
  const bool hold = body.number() != 0;
  const std::uint64_t start = body.number();
  const std::uint64_t size = body.number();
  const bool sound = body.ok() && verb <= static_cast<std::uint64_t>(Verb::copy) &&
                     name.size() <= kLongestName && start <= text.size() &&
                     size <= text.size() - start;
  if (!sound) return std::nullopt;
  return Statement{.verb = static_cast<Verb>(verb),
                   .name = std::move(name),
                   .hold = hold,
                   .text = text.substr(start, size)};
}

std::optional<ParsedSql> unpack_parsed(std::string_view answer, std::string_view text) {
  Unpacker body(answer);
  ParsedSql parsed;
  parsed.by_grammar = body.number() != 0;
  parsed.complete = body.number() != 0;
  const std::size_t count = body.count();
  for (std::size_t i = 0; i < count; ++i) {
    auto statement = unpack_statement(body, text);
    if (!statement) return std::nullopt;
    parsed.statements.push_back(std::move(*statement));
  }
  return body.ok() ? std::optional(std::move(parsed)) : std::nullopt;
}

void serve(int socket) {
  for (;;) {
    auto question = receive_message(socket);
    if (!question || !*question) return;
    Unpacker body((*question)->body);
    const std::uint64_t number = body.number();
    const std::string text = body.text();
    Packer answer;
    if ((*question)->type == kParse) {
      answer = packed(parse_sql(text, number != 0), text);
    } else {
      answer.text(normalize_sql(text, number));
    }
    if (!send_message(socket, (*question)->type, answer.bytes())) return;
  }
}

Packer question(std::uint64_t number, std::string_view text) {
  Packer packer;
  packer.number(number);
  packer.text(text);
  return packer;
}

}  // namespace

SandboxWork RemoteSql::work() {
  return {.name = "lt-sql", .body = &serve};
}

RemoteSql::RemoteSql(std::unique_ptr<Sandbox> sandbox, const WorkBounds& bounds)
    : worker_(std::move(sandbox), bounds) {}

ParsedSql RemoteSql::parse(std::string_view text, bool cut) {
  const auto answer = worker_.ask(kParse, question(cut ? 1 : 0, text));
  auto parsed = answer ? unpack_parsed(answer->body, text) : std::nullopt;
  if (parsed) return std::move(*parsed);
  tell(answer ? worker_.refuse_answer().error : answer.error(),
       "one text counts as not parsed (loss pg_unparsed)");
  return {.statements = {}, .by_grammar = false, .complete = false};
}

std::string RemoteSql::normalize(std::string_view text, std::size_t most) {
  const auto answer = worker_.ask(kNormalize, question(most, text));
  if (!answer) {
    tell(answer.error(), "one text is shown as \"(not SQL)\"");
    return std::string(kNotSql);
  }
  return clipped_utf8(Unpacker(answer->body).text(), most);
}

void RemoteSql::tell(const Error& error, const char* what_now) {
  if (std::exchange(told_given_up_, worker_.is_given_up())) return;
  log::warning("the process that reads SQL {}: {}", error.what,
               worker_.is_given_up() ? "no more SQL is read (loss pg_unparsed)" : what_now);
}

}  // namespace leaktrace::postgres
