// SPDX-License-Identifier: Apache-2.0
//
// Call sites by number. A snapshot names the same sites again each interval; with a number for
// each site and differences in place of totals, a site costs about a quarter of its plain form.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

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
  /// The site's reading before this one, to take the difference from and to replace.
  [[nodiscard]] model::Counters& last(std::uint32_t number) { return last_[number]; }

 private:
  std::unordered_map<model::SiteKey, std::uint32_t> numbers_;
  std::vector<model::Counters> last_;
};

/// The reader's side. Memory grows with the sites that the recording defines, about 64 bytes each.
class NumberedSites {
 public:
  struct Entry {
    model::SiteKey key;
    model::Counters last;
  };

  void define(const model::SiteKey& key) { entries_.push_back({key, {}}); }
  /// The site of that number, or null when none was defined. Valid until the next define().
  [[nodiscard]] Entry* find(std::uint64_t number) {
    return number < entries_.size() ? &entries_[number] : nullptr;
  }

 private:
  std::vector<Entry> entries_;
};

}  // namespace leaktrace::collect
