// SPDX-License-Identifier: Apache-2.0
//
// Call sites by number. A snapshot names the same sites again each interval; with a number for
// each site and differences in place of totals, a site costs about a quarter of its plain form.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>

#include "user/model/record.h"

namespace leaktrace::collect {

/// The writer's side: gives out numbers in the order in which sites are first seen.
class SiteNumbers {
 public:
  struct Numbered {
    std::uint32_t number = 0;
    bool is_new = false;
  };

  [[nodiscard]] Numbered number(const model::SiteKey& key);
  /// The reading before this one of a site that has a number, to take the difference from and to
  /// replace.
  [[nodiscard]] model::Counters& last(const model::SiteKey& key) { return sites_[key].last; }
  /// The sites of these stacks have no number any more; no number is given out twice.
  void forget(std::span<const model::StackId> stacks);

 private:
  struct Entry {
    std::uint32_t number = 0;
    model::Counters last;
  };

  std::unordered_map<model::SiteKey, Entry> sites_;
  std::uint32_t next_ = 0;
};

/// The reader's side. Memory grows with the sites that the recording defines and does not forget,
/// about 100 bytes each.
class NumberedSites {
 public:
  struct Entry {
    model::SiteKey key;
    model::Counters last;
  };

  void define(const model::SiteKey& key) { entries_[next_++] = {key, {}}; }
  /// The site of that number, or null when there is none. Valid until the next define() or
  /// forget().
  [[nodiscard]] Entry* find(std::uint64_t number) {
    auto found = entries_.find(number);
    return found == entries_.end() ? nullptr : &found->second;
  }
  void forget(std::span<const model::StackId> stacks);

 private:
  std::unordered_map<std::uint64_t, Entry> entries_;
  std::uint64_t next_ = 0;
};

}  // namespace leaktrace::collect
