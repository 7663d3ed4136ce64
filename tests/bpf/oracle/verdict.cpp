// SPDX-License-Identifier: Apache-2.0
#include "tests/bpf/oracle/verdict.h"

#include <fmt/core.h>

#include <algorithm>
#include <vector>

namespace leaktrace::tests {
namespace {

/// Places that are kept and printed for each kind.
constexpr size_t most_places = 200;
constexpr size_t shown_places = 8;

bool ran_out_of_copy(const oracle_stack& moment, const ReferenceStack& reference) {
  return reference.missing && *reference.missing >= copy_start(moment) + ORACLE_LARGE_COPY;
}

Outcome outcome_of(const oracle_stack& moment, const ReferenceStack& reference, size_t equal) {
  const size_t ours = moment.count;
  const size_t theirs = reference.frames.size() - 1;
  if (equal < ours && equal < theirs) return Outcome::frame_differs;
  const bool found_end = reference.stopped_by.empty() && !reference.missing;
  if (equal < theirs) {
    if (moment.reason == LT_STACK_DEPTH && ours == LT_MAX_FRAMES) return Outcome::deeper;
    return moment.reason == LT_STACK_COMPLETE ? Outcome::ends_early : Outcome::cut;
  }
  if (ran_out_of_copy(moment, reference)) return Outcome::copy_ended;
  if (equal < ours) return found_end ? Outcome::goes_on : Outcome::reference_stops;
  if (moment.reason == LT_STACK_COMPLETE) {
    if (found_end) return Outcome::equal;
    return reference.at_entry_point ? Outcome::entry_point : Outcome::end_unproven;
  }
  if (moment.reason == LT_STACK_DEPTH) return Outcome::deeper;
  return found_end ? Outcome::cut : Outcome::both_stop;
}

}  // namespace

const char* explain(Outcome outcome) {
  switch (outcome) {
    case Outcome::equal:
      return "equal: every frame, and that the stack ends there";
    case Outcome::both_stop:
      return "every frame is equal; neither unwinder finds the end of the stack, both stop at the "
             "same frame";
    case Outcome::deeper:
      return "deeper than the 127 frames that leaktrace keeps and says so; these are equal";
    case Outcome::copy_ended:
      return "the stack is larger than the copy (128 KiB); the frames within it are equal";
    case Outcome::entry_point:
      return "every frame is equal, to the entry point of the ELF file; nothing describes that "
             "one, "
             "so libdwfl reports an error where leaktrace sees the end";
    case Outcome::end_unproven:
      return "every frame is equal; leaktrace takes the last for the outermost, libdwfl gives up "
             "there";
    case Outcome::reference_stops:
      return "libdwfl gives up, leaktrace goes on; the frames up to there are equal";
    case Outcome::frame_differs:
      return "DISAGREEMENT: the two name different callers";
    case Outcome::cut:
      return "DISAGREEMENT: leaktrace says that it cannot go on, libdwfl can";
    case Outcome::ends_early:
      return "DISAGREEMENT: leaktrace takes a frame for the outermost, libdwfl goes on";
    case Outcome::goes_on:
      return "DISAGREEMENT: libdwfl finds the end of the stack, leaktrace goes on";
    case Outcome::count:
      break;
  }
  return "";
}

Verdict compare(const oracle_stack& moment, const ReferenceStack& reference) {
  if (reference.frames.empty()) return {Outcome::reference_stops, 0};
  // libdwfl begins with the probed instruction itself, leaktrace with its caller.
  const auto theirs = reference.frames.begin() + 1;
  const size_t both = std::min<size_t>(moment.count, reference.frames.size() - 1);
  const auto differs = std::mismatch(moment.frames, moment.frames + both, theirs).first;
  const auto equal = static_cast<size_t>(differs - moment.frames);
  return {outcome_of(moment, reference, equal), static_cast<uint32_t>(equal)};
}

void Tally::add(const Verdict& verdict, const std::string& where) {
  Kind& kind = kinds_[verdict.outcome];
  ++kind.stacks;
  frames_ += verdict.frames;
  if (where.empty()) return;
  const bool room = kind.places.size() < most_places || kind.places.count(where) != 0;
  ++kind.places[room ? where : "elsewhere"];
}

void Tally::add(const Tally& other) {
  frames_ += other.frames_;
  for (const auto& [outcome, kind] : other.kinds_) {
    kinds_[outcome].stacks += kind.stacks;
    for (const auto& [place, stacks] : kind.places) kinds_[outcome].places[place] += stacks;
  }
}

uint64_t Tally::of(Outcome outcome) const {
  const auto kind = kinds_.find(outcome);
  return kind == kinds_.end() ? 0 : kind->second.stacks;
}

uint64_t Tally::stacks() const {
  uint64_t sum = 0;
  for (const auto& [outcome, kind] : kinds_) sum += kind.stacks;
  return sum;
}

uint64_t Tally::disagreements() const {
  uint64_t sum = 0;
  for (const auto& [outcome, kind] : kinds_) sum += is_disagreement(outcome) ? kind.stacks : 0;
  return sum;
}

std::string Tally::report(const std::string& name) const {
  const uint64_t equal = of(Outcome::equal);
  const uint64_t disagreed = disagreements();
  std::string text = fmt::format("{:<12} {:>8} {:>9} {:>8} {:>12} {:>14}\n", name, stacks(),
                                 frames_, equal, stacks() - equal - disagreed, disagreed);
  for (const auto& [outcome, kind] : kinds_) {
    if (outcome == Outcome::equal) continue;
    text += fmt::format("  {:>10}  {}\n", kind.stacks, explain(outcome));
    std::vector<std::pair<uint64_t, std::string>> places;
    for (const auto& [place, stacks] : kind.places) places.emplace_back(stacks, place);
    std::sort(places.rbegin(), places.rend());
    for (size_t i = 0; i < std::min(places.size(), shown_places); ++i) {
      text += fmt::format("  {:>16}  {}\n", places[i].first, places[i].second);
    }
    if (places.size() > shown_places) {
      text += fmt::format("  {:>16}  more places\n", places.size() - shown_places);
    }
  }
  return text;
}

}  // namespace leaktrace::tests
