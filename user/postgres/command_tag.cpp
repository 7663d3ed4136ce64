// SPDX-License-Identifier: Apache-2.0
#include "user/postgres/command_tag.h"

#include <algorithm>
#include <array>
#include <utility>

namespace leaktrace::postgres {
namespace {

constexpr std::array<std::pair<std::string_view, Verb>, 16> kTags = {{
    {"BEGIN", Verb::begin},
    {"START TRANSACTION", Verb::begin},
    {"COMMIT", Verb::commit},
    {"ROLLBACK", Verb::rollback},
    {"PREPARE TRANSACTION", Verb::prepare_transaction},
    {"SAVEPOINT", Verb::savepoint},
    {"RELEASE", Verb::release},
    {"DECLARE CURSOR", Verb::declare},
    {"CLOSE CURSOR", Verb::close},
    {"CLOSE CURSOR ALL", Verb::close_all},
    {"PREPARE", Verb::prepare},
    {"DEALLOCATE", Verb::deallocate},
    {"DEALLOCATE ALL", Verb::deallocate_all},
    {"DISCARD ALL", Verb::discard_all},
    {"DISCARD", Verb::other},
    {"COPY", Verb::copy},
}};

bool does_nothing(Verb verb) {
  return verb == Verb::other || verb == Verb::execute || verb == Verb::copy;
}

}  // namespace

Verb verb_of_tag(std::string_view tag) {
  if (tag.starts_with("COPY ")) return Verb::copy;
  const auto found = std::ranges::find(kTags, tag, [](const auto& row) { return row.first; });
  return found == kTags.end() ? Verb::other : found->second;
}

bool agrees(Verb statement, std::string_view tag) {
  if (tag.empty()) return true;
  const Verb said = verb_of_tag(tag);
  if (said == statement) return true;
  switch (statement) {
    case Verb::other:
    case Verb::execute:
    case Verb::copy:
      return does_nothing(said);
    case Verb::commit:
    case Verb::prepare_transaction:  // of a transaction that has failed
    case Verb::rollback_to:
      return said == Verb::rollback;
    case Verb::close_all:
      return said == Verb::close;
    case Verb::deallocate_all:
      return said == Verb::deallocate;
    case Verb::discard_all:
      return tag == "DISCARD";
    default:
      return false;
  }
}

}  // namespace leaktrace::postgres
