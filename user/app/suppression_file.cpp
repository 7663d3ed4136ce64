// SPDX-License-Identifier: Apache-2.0
#include "user/app/suppression_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <exception>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string_view>
#include <utility>

#include "user/base/file.h"
#include "user/base/printable.h"

namespace leaktrace::app {
namespace {

using analyze::Glob;
using analyze::SuppressionRule;

constexpr std::size_t kMostBytes = 1U << 20;
constexpr std::size_t kMostQuoted = 60;  // columns

/// What the file says, fit for a message.
std::string in_quotes(std::string_view text) {
  const std::string shown = printable(text);
  if (columns(shown) <= kMostQuoted) return fmt::format("'{}'", shown);
  return fmt::format("'{}…'", first_columns(shown, kMostQuoted));
}

/// "name:line:column: ", as compilers write it.
std::string place(const std::string& name, const YAML::Mark& mark) {
  if (mark.is_null()) return name + ": ";
  return fmt::format("{}:{}:{}: ", name, mark.line + 1, mark.column + 1);
}

// ---- Values -----------------------------------------------------------------------------------

template <std::optional<Glob> SuppressionRule::*kField>
Result<void> set_glob(const std::string& value, SuppressionRule& rule) {
  auto glob = Glob::parse(value);
  if (!glob) return glob.unexpected();
  rule.*kField = std::move(*glob);
  return {};
}

Result<void> set_kind(const std::string& value, SuppressionRule& rule) {
  rule.kinds = model::kinds_from_name(value);
  if (!rule.kinds.empty()) return {};
  std::vector<std::string_view> names;
  for (const model::Kind kind : model::kKinds) names.push_back(model::kind_name(kind));
  return fail(fmt::format("{} is no kind of resource", in_quotes(value)),
              fmt::format("{} are, and pg for all that begin so", fmt::join(names, ", ")));
}

Result<void> set_frame(const std::string& value, SuppressionRule& rule) {
  rule.innermost = value == "innermost";
  if (rule.innermost || value == "any") return {};
  return fail(fmt::format("frame cannot be {}", in_quotes(value)), "write any or innermost");
}

/// One line, whatever line breaks the YAML has.
Result<void> set_reason(const std::string& value, SuppressionRule& rule) {
  constexpr std::string_view kBlank = " \t\r\n";
  rule.reason.clear();
  for (const char c : value) {
    if (kBlank.find(c) == std::string_view::npos) {
      rule.reason += c;
    } else if (!rule.reason.empty() && rule.reason.back() != ' ') {
      rule.reason += ' ';
    }
  }
  if (rule.reason.ends_with(' ')) rule.reason.pop_back();
  if (!rule.reason.empty()) return {};
  return fail("the reason is blank", "say why these sites are no leak, or are not mended yet");
}

/// All of the text as a number without a sign.
std::optional<unsigned> digits(std::string_view text) {
  unsigned number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || stop != end) return std::nullopt;
  return number;
}

Result<void> set_expires(const std::string& value, SuppressionRule& rule) {
  using namespace std::chrono;
  const std::string_view text = value;
  if (text.size() == 10 && text[4] == '-' && text[7] == '-') {
    const auto y = digits(text.substr(0, 4));
    const auto m = digits(text.substr(5, 2));
    const auto d = digits(text.substr(8, 2));
    const year_month_day date{year(static_cast<int>(y.value_or(0))), month(m.value_or(0)),
                              day(d.value_or(0))};
    if (y && m && d && date.ok()) {
      rule.expires = date;
      return {};
    }
  }
  return fail(fmt::format("{} is no date", in_quotes(value)),
              "write the last day on which the entry counts as YYYY-MM-DD");
}

// ---- Entries ----------------------------------------------------------------------------------

struct Key {
  std::string_view name;
  Result<void> (*set)(const std::string& value, SuppressionRule& rule);
};

constexpr std::array kKeys = {
    Key{"function", set_glob<&SuppressionRule::function>},
    Key{"module", set_glob<&SuppressionRule::module>},
    Key{"source", set_glob<&SuppressionRule::source>},
    Key{"kind", set_kind},
    Key{"frame", set_frame},
    Key{"reason", set_reason},
    Key{"expires", set_expires},
};

constexpr std::string_view kWhichSites =
    "say which sites it is for: function, module, source or kind";

Result<const Key*> find_key(const YAML::Node& node, const std::string& file) {
  const std::string name = node.IsScalar() ? node.Scalar() : std::string();
  const auto* found = std::ranges::find(kKeys, std::string_view(name), &Key::name);
  if (found != kKeys.end()) return found;
  std::vector<std::string_view> names;
  for (const Key& key : kKeys) names.push_back(key.name);
  return fail(fmt::format("{}{} is no key of an entry", place(file, node.Mark()), in_quotes(name)),
              fmt::format("write {}", fmt::join(names, ", ")));
}

/// `at`: the place of the key, for that of a missing value is where the next thing begins.
Result<void> read_value(const Key& key, const std::string& at, const YAML::Node& value,
                        const std::string& file, SuppressionRule& rule) {
  if (value.IsNull()) {
    return fail(fmt::format("{}{} has no value", at, key.name),
                "give it one, in quotes where it begins with *, !, & or #, or leave the key out");
  }
  if (!value.IsScalar()) {
    return fail(fmt::format("{}{} wants one text", place(file, value.Mark()), key.name),
                "write one entry for each");
  }
  const auto set = key.set(value.Scalar(), rule);
  if (set) return {};
  return fail(fmt::format("{}{}: {}", place(file, value.Mark()), key.name, set.error().what),
              set.error().advice);
}

/// What no single key shows.
Result<void> check_whole(const SuppressionRule& rule, const std::string& at, bool told_frame) {
  const bool has_pattern = rule.function || rule.module || rule.source;
  if (!has_pattern && rule.kinds.empty()) {
    return fail(at + "the entry fits no site", std::string(kWhichSites));
  }
  if (!has_pattern && told_frame) {
    return fail(at + "frame says nothing without a pattern",
                "add function, module or source, or leave it out");
  }
  if (rule.reason.empty()) {
    return fail(at + "the entry has no reason",
                "add reason: why these sites are no leak, or are not mended yet");
  }
  return {};
}

Result<SuppressionRule> read_entry(const YAML::Node& entry, const std::string& file) {
  const std::string at = place(file, entry.Mark());
  if (entry.IsNull()) return fail(at + "an empty entry ends here", std::string(kWhichSites));
  if (entry.IsMap() && entry.size() == 0) {
    return fail(at + "the entry is empty", std::string(kWhichSites));
  }
  if (!entry.IsMap()) {
    return fail(at + "the entry is no map",
                "write it as '- function: PATTERN' with its other keys in lines below");
  }
  SuppressionRule rule;
  rule.entry = fmt::format("{}:{}", file, entry.Mark().line + 1);
  std::set<const Key*> told;
  for (const auto& pair : entry) {
    const auto key = find_key(pair.first, file);
    if (!key) return key.unexpected();
    if (!told.insert(*key).second) {
      return fail(fmt::format("{}{} is there twice in one entry", place(file, pair.first.Mark()),
                              (*key)->name),
                  "leave one of the two out, or write an entry for each");
    }
    auto read = read_value(**key, place(file, pair.first.Mark()), pair.second, file, rule);
    if (!read) return read.unexpected();
  }
  const bool told_frame =
      std::ranges::any_of(told, [](const Key* key) { return key->name == "frame"; });
  if (auto whole = check_whole(rule, at, told_frame); !whole) return whole.unexpected();
  return rule;
}

Result<std::vector<SuppressionRule>> read_document(const YAML::Node& list,
                                                   const std::string& file) {
  std::vector<SuppressionRule> rules;
  if (list.IsNull()) return rules;
  if (!list.IsSequence()) {
    return fail(place(file, list.Mark()) + "the file is no list of entries",
                "begin each entry with '- '");
  }
  for (const YAML::Node& entry : list) {
    auto rule = read_entry(entry, file);
    if (!rule) return rule.unexpected();
    rules.push_back(std::move(*rule));
  }
  return rules;
}

/// Where the documents of a text begin.
class DocumentStarts final : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override { last_ = mark; }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}

  [[nodiscard]] const YAML::Mark& last() const { return last_; }

 private:
  YAML::Mark last_ = YAML::Mark::null_mark();
};

/// YAML::Load() takes the first document and is silent about the rest. YAML::LoadAll() (0.7) never
/// ends on some texts, because what begins no node counts as one document after the other there.
std::optional<YAML::Mark> second_document(const std::string& text) {
  std::istringstream in(text);
  YAML::Parser parser(in);
  DocumentStarts starts;
  if (!parser.HandleNextDocument(starts) || !parser.HandleNextDocument(starts)) return {};
  return starts.last();
}

// ---- Files ------------------------------------------------------------------------------------

/// At most one byte more than is allowed, so that a file without an end is no trap.
Result<std::string> read_text(const std::string& path) {
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  std::string text(kMostBytes + 1, '\0');
  if (in) in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!in.is_open() || in.bad()) {
    return fail(describe_errno("cannot read the suppressions in " + path, errno),
                "name a file that you may read with --suppressions");
  }
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() <= kMostBytes) return text;
  return fail(path + ": a suppression file of more than 1 MiB", "is it the right file?");
}

}  // namespace

Result<std::vector<SuppressionRule>> parse_suppressions(const std::string& text,
                                                        const std::string& name) {
  try {
    auto rules = read_document(YAML::Load(text), name);
    if (!rules) return rules;
    const auto second = second_document(text);
    if (!second) return rules;
    return fail(place(name, *second) + "behind the list of entries a second document begins",
                "leave it out, or give it a file of its own");
  } catch (const YAML::Exception& error) {
    return fail(fmt::format("{}this is no YAML: {}", place(name, error.mark), printable(error.msg)),
                "put a pattern that begins with * or holds ': ' into quotes");
  } catch (const std::exception& error) {  // the parser's own limits, such as the depth of lists
    return fail(fmt::format("{}: this is no YAML: {}", name, printable(error.what())));
  }
}

Result<analyze::Suppressions> read_suppressions(const std::vector<std::string>& paths) {
  std::vector<SuppressionRule> all;
  for (const std::string& path : paths) {
    const auto text = read_text(path);
    if (!text) return text.unexpected();
    auto rules = parse_suppressions(*text, path);
    if (!rules) return rules.unexpected();
    std::ranges::move(*rules, std::back_inserter(all));
  }
  return analyze::Suppressions(std::move(all));
}

}  // namespace leaktrace::app
