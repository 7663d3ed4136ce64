// SPDX-License-Identifier: Apache-2.0
#include "user/symbolize/jit_names.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>

namespace leaktrace::symbolize {
namespace {

std::optional<std::uint64_t> take_hex(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  if (text.starts_with("0x")) text.remove_prefix(2);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc() || end == text.data() + text.size() || *end != ' ') return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

/// Cuts ":123" off the end.
std::optional<std::uint32_t> take_number(std::string_view& text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon + 1 == text.size()) return std::nullopt;
  std::uint32_t value = 0;
  const char* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data() + colon + 1, last, value);
  if (error != std::errc() || end != last) return std::nullopt;
  text = text.substr(0, colon);
  return value;
}

/// Where the file begins in V8's "function file": both may hold blanks.
std::size_t file_begin(std::string_view text) {
  std::size_t blank = std::string_view::npos;
  for (std::string_view mark : {" /", " file:", " node:", " webpack:", " https:", " http:"}) {
    blank = std::min(blank, text.find(mark));
  }
  if (blank == std::string_view::npos) blank = text.rfind(' ');
  return blank;
}

/// Takes the tag off a function of V8's, and the marks for which of its compilers made the code.
std::string_view take_v8_tag(std::string_view& name) {
  for (std::string_view tag : {"JS:", "LazyCompile:", "Function:", "Script:", "Eval:"}) {
    if (!name.starts_with(tag)) continue;
    name.remove_prefix(tag.size());
    name.remove_prefix(std::min(name.find_first_not_of("~^+*'"), name.size()));
    return tag;
  }
  return {};
}

}  // namespace

model::SourceFrame split_jit_name(std::string_view name) {
  model::SourceFrame whole{.function = std::string(name), .file = {}, .line = 0, .inlined = false};
  std::string_view rest = name;
  const std::string_view tag = take_v8_tag(rest);
  const std::size_t blank = tag.empty() ? std::string_view::npos : file_begin(rest);
  if (blank == std::string_view::npos) return whole;
  std::string_view file = rest.substr(blank + 1);
  auto line = take_number(file);
  if (auto before = take_number(file)) line = before;  // the last of two is the column
  if (!line || file.empty()) return whole;
  if (file.starts_with("file://")) file.remove_prefix(7);
  const bool top_level = tag == "Script:" || tag == "Eval:";
  const std::string_view function = rest.substr(0, blank);
  whole.function =
      function.empty() ? (top_level ? "(top level)" : "(anonymous)") : std::string(function);
  whole.file = file;
  whole.line = *line;
  return whole;
}

std::size_t JitNames::read(std::string_view text) {
  const std::size_t size = text.size();
  for (;;) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) break;
    if (in_long_line_) {
      in_long_line_ = false;  // its end, counted when it began
    } else {
      read_line(text.substr(0, end));
    }
    text.remove_prefix(end + 1);
  }
  if (in_long_line_) return size;
  if (text.size() < kLongestLine) return size - text.size();
  ++malformed_;
  in_long_line_ = true;
  return size;
}

void JitNames::clear() {
  entries_.clear();
  bytes_ = 0;
  in_long_line_ = false;
}

void JitNames::read_line(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (line.empty()) return;
  const auto begin = line.size() <= kLongestLine ? take_hex(line) : std::nullopt;
  const auto size = begin ? take_hex(line) : std::nullopt;
  if (!size || line.size() < 2 || *size > UINT64_MAX - *begin) {
    ++malformed_;
    return;
  }
  if (*size > 0) add(*begin, *begin + *size, line.substr(1));
}

void JitNames::add(std::uint64_t begin, std::uint64_t end, std::string_view name) {
  remove_overlapping(begin, end);
  if (bytes_ + cost(name) > max_bytes_) {
    ++left_out_;
    return;
  }
  bytes_ += cost(name);
  entries_.emplace(begin, Entry{end, std::string(name)});
}

void JitNames::remove_overlapping(std::uint64_t begin, std::uint64_t end) {
  auto first = entries_.upper_bound(begin);
  if (first != entries_.begin() && std::prev(first)->second.end > begin) --first;
  while (first != entries_.end() && first->first < end) {
    bytes_ -= cost(first->second.name);
    first = entries_.erase(first);
  }
}

// What a node of the map and the allocation of a long name take with glibc.
std::size_t JitNames::cost(std::string_view name) {
  return sizeof(Entries::value_type) + 48 + (name.size() < 16 ? 0 : name.size() + 16);
}

const std::string* JitNames::find(std::uint64_t address) const {
  auto after = entries_.upper_bound(address);
  if (after == entries_.begin()) return nullptr;
  const Entry& entry = std::prev(after)->second;
  return address < entry.end ? &entry.name : nullptr;
}

}  // namespace leaktrace::symbolize
