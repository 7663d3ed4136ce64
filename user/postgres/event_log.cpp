// SPDX-License-Identifier: Apache-2.0
#include "user/postgres/event_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <concepts>
#include <optional>
#include <span>
#include <utility>

#include "user/postgres/utf8.h"

namespace leaktrace::postgres {
namespace {

template <typename Enum>
using Names = std::span<const std::pair<Enum, std::string_view>>;

constexpr std::array<std::pair<EventType, std::string_view>, 13> kTypes = {{
    {EventType::connected, "connected"},
    {EventType::command, "command"},
    {EventType::withdrawn, "withdrawn"},
    {EventType::result, "result"},
    {EventType::done, "done"},
    {EventType::reset, "reset"},
    {EventType::finished, "finished"},
    {EventType::pipeline_entered, "pipeline_entered"},
    {EventType::pipeline_left, "pipeline_left"},
    {EventType::row_mode, "row_mode"},
    {EventType::large_object_opened, "large_object_opened"},
    {EventType::large_object_closed, "large_object_closed"},
    {EventType::example, "example"},
}};

constexpr std::array<std::pair<CommandKind, std::string_view>, 9> kCommands = {{
    {CommandKind::query, "query"},
    {CommandKind::parameters, "parameters"},
    {CommandKind::prepare, "prepare"},
    {CommandKind::execute, "execute"},
    {CommandKind::describe, "describe"},
    {CommandKind::close_statement, "close_statement"},
    {CommandKind::close_portal, "close_portal"},
    {CommandKind::sync, "sync"},
    {CommandKind::unknown, "unknown"},
}};

constexpr std::array<std::pair<ResultStatus, std::string_view>, 14> kResults = {{
    {ResultStatus::empty_query, "empty_query"},
    {ResultStatus::command_ok, "command_ok"},
    {ResultStatus::tuples_ok, "tuples_ok"},
    {ResultStatus::copy_out, "copy_out"},
    {ResultStatus::copy_in, "copy_in"},
    {ResultStatus::bad_response, "bad_response"},
    {ResultStatus::nonfatal_error, "nonfatal_error"},
    {ResultStatus::fatal_error, "fatal_error"},
    {ResultStatus::copy_both, "copy_both"},
    {ResultStatus::single_tuple, "single_tuple"},
    {ResultStatus::pipeline_sync, "pipeline_sync"},
    {ResultStatus::pipeline_aborted, "pipeline_aborted"},
    {ResultStatus::tuples_chunk, "tuples_chunk"},
    {ResultStatus::unknown, "unknown"},
}};

constexpr std::array<std::pair<TransactionStatus, std::string_view>, 5> kTransactions = {{
    {TransactionStatus::idle, "idle"},
    {TransactionStatus::active, "active"},
    {TransactionStatus::in_transaction, "in_transaction"},
    {TransactionStatus::failed, "failed"},
    {TransactionStatus::unknown, "unknown"},
}};

/// What a line says of an event, apart from its type: visits every field with its key.
template <typename EventRef, typename Visitor>
void visit_fields(EventRef& event, Visitor& visitor) {
  visitor.number("at", event.at_ns);
  visitor.number("image", event.connection.image.value);
  visitor.hexadecimal("connection", event.connection.handle);
  visitor.hexadecimal("stack", event.stack.value);
  visitor.enumerator("kind", event.command, Names<CommandKind>(kCommands));
  visitor.number("ahead", event.ahead);
  visitor.text("name", event.name);
  visitor.enumerator("status", event.status, Names<ResultStatus>(kResults));
  visitor.text("text", event.text);
  visitor.enumerator("transaction", event.transaction, Names<TransactionStatus>(kTransactions));
  visitor.text("host", event.host);
  visitor.text("port", event.port);
  visitor.text("database", event.database);
  visitor.text("user", event.user);
  visitor.number("value", event.value);
  visitor.flag("cut", event.cut);
  visitor.flag("unannounced", event.unannounced);
  visitor.flag("broken", event.broken);
  visitor.flag("pipeline", event.pipeline);
  visitor.flag("lost", event.lost);
  visitor.flag("unobserved", event.unobserved);
  visitor.flag("from_start", event.from_start);
}

template <typename Enum>
std::string name_of(Enum value, Names<Enum> names) {
  const auto found = std::ranges::find(names, value, [](const auto& entry) { return entry.first; });
  return found == names.end() ? std::to_string(static_cast<unsigned>(value))
                              : std::string(found->second);
}

std::string in_quotes(std::string_view text) {
  constexpr std::string_view kPlain = "\"\\\n\r\t";
  constexpr std::string_view kEscaped = "\"\\nrt";
  std::string out = "\"";
  while (!text.empty()) {
    const auto byte = static_cast<unsigned char>(text.front());
    const std::size_t length = utf8_length(text);
    if (const auto escape = kPlain.find(text.front()); escape != std::string_view::npos) {
      out += {'\\', kEscaped[escape]};
    } else if (length == 0 || byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out + '"';
}

class Writer {
 public:
  explicit Writer(std::string& line) : line_(&line) {}

  template <typename Number>
  void number(std::string_view key, Number value) {
    if (value != 0 || key == "at" || key == "image") *line_ += fmt::format(" {}={}", key, value);
  }
  void hexadecimal(std::string_view key, std::uint64_t value) {
    if (value != 0 || key == "connection") *line_ += fmt::format(" {}={:#x}", key, value);
  }
  template <typename Enum>
  void enumerator(std::string_view key, Enum value, Names<Enum> names) {
    const bool is_default = value == Enum::unknown;
    if constexpr (std::same_as<Enum, CommandKind>) {
      if (value != CommandKind::query) add(key, name_of(value, names));
    } else if (!is_default) {
      add(key, name_of(value, names));
    }
  }
  void text(std::string_view key, const std::string& value) {
    if (!value.empty()) add(key, in_quotes(value));
  }
  void flag(std::string_view key, bool value) {
    if (value) *line_ += fmt::format(" {}", key);
  }

 private:
  void add(std::string_view key, std::string_view value) {
    *line_ += fmt::format(" {}={}", key, value);
  }
  std::string* line_;
};

template <std::integral Number>
bool read_number(std::string_view word, Number& number) {
  const bool hexadecimal = word.starts_with("0x");
  if (hexadecimal) word.remove_prefix(2);
  const auto read =
      std::from_chars(word.data(), word.data() + word.size(), number, hexadecimal ? 16 : 10);
  return read.ec == std::errc() && read.ptr == word.data() + word.size() && !word.empty();
}

/// The text in quotes at the beginning of `rest`, which is moved behind it.
std::optional<std::string> read_quoted(std::string_view& rest) {
  constexpr std::string_view kEscaped = "\"\\nrt";
  constexpr std::string_view kPlain = "\"\\\n\r\t";
  std::string text;
  std::size_t i = 1;
  for (; i < rest.size() && rest[i] != '"'; ++i) {
    if (rest[i] != '\\') {
      text += rest[i];
      continue;
    }
    if (++i >= rest.size()) return std::nullopt;
    if (const auto escape = kEscaped.find(rest[i]); escape != std::string_view::npos) {
      text += kPlain[escape];
      continue;
    }
    unsigned byte = 0;
    const std::string_view digits = rest.substr(i + 1, 2);
    if (rest[i] != 'x' || digits.size() != 2 || !read_number("0x" + std::string(digits), byte)) {
      return std::nullopt;
    }
    text += static_cast<char>(byte);
    i += 2;
  }
  if (i >= rest.size()) return std::nullopt;
  rest.remove_prefix(i + 1);
  return text;
}

struct Word {
  std::string key;
  std::string value;
  bool has_value = false;
  bool is_quoted = false;
};

/// Takes one word off the line.
Result<Word> next_word(std::string_view& rest) {
  Word word;
  const std::size_t end = std::min(rest.find_first_of(" ="), rest.size());
  word.key = rest.substr(0, end);
  rest.remove_prefix(end);
  if (!rest.empty() && rest.front() == '=') {
    rest.remove_prefix(1);
    word.has_value = true;
    if (!rest.empty() && rest.front() == '"') {
      auto text = read_quoted(rest);
      if (!text)
        return fail(fmt::format("the text of {} does not end, or has a wrong escape", word.key));
      word.value = std::move(*text);
      word.is_quoted = true;
    } else {
      const std::size_t stop = std::min(rest.find(' '), rest.size());
      word.value = rest.substr(0, stop);
      rest.remove_prefix(stop);
    }
  }
  if (!rest.empty() && rest.front() != ' ') {
    return fail(fmt::format("no blank behind {}", word.key));
  }
  rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
  return word;
}

/// Sets the field that the word names.
class Setter {
 public:
  explicit Setter(const Word& word) : word_(&word) {}

  template <typename Number>
  void number(std::string_view key, Number& value) {
    if (is(key)) good_ = word_->has_value && !word_->is_quoted && read_number(word_->value, value);
  }
  void hexadecimal(std::string_view key, std::uint64_t& value) { number(key, value); }
  template <typename Enum>
  void enumerator(std::string_view key, Enum& value, Names<Enum> names) {
    if (!is(key) || !word_->has_value || word_->is_quoted) return;
    const std::string_view wanted = word_->value;
    const auto found =
        std::ranges::find(names, wanted, [](const auto& entry) { return entry.second; });
    std::uint8_t bare = 0;
    good_ = found != names.end() || read_number(wanted, bare);
    value = found != names.end() ? found->first : static_cast<Enum>(bare);
  }
  void text(std::string_view key, std::string& value) {
    if (!is(key) || !word_->is_quoted) return;
    good_ = true;
    value = word_->value;
  }
  void flag(std::string_view key, bool& value) {
    if (!is(key) || word_->has_value) return;
    good_ = value = true;
  }

  [[nodiscard]] bool known() const { return known_; }
  [[nodiscard]] bool good() const { return good_; }

 private:
  bool is(std::string_view key) {
    const bool same = word_->key == key;
    known_ = known_ || same;
    return same;
  }

  const Word* word_;
  bool known_ = false;
  bool good_ = false;
};

}  // namespace

std::string to_line(const Event& event) {
  std::string line = name_of(event.type, Names<EventType>(kTypes));
  Writer writer(line);
  visit_fields(event, writer);
  return line;
}

Result<Event> from_line(std::string_view line) {
  auto type = next_word(line);
  if (!type) return type.unexpected();
  const auto found =
      std::ranges::find(kTypes, type->key, [](const auto& entry) { return entry.second; });
  if (found == kTypes.end() || type->has_value) {
    return fail(fmt::format("no type of event is called {}", type->key));
  }
  Event event;
  event.type = found->first;
  while (!line.empty()) {
    auto word = next_word(line);
    if (!word) return word.unexpected();
    Setter setter(*word);
    visit_fields(event, setter);
    if (!setter.known()) return fail(fmt::format("no field is called {}", word->key));
    if (!setter.good()) return fail(fmt::format("{} has a wrong value", word->key));
  }
  return event;
}

}  // namespace leaktrace::postgres
