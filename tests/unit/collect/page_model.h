// SPDX-License-Identifier: Apache-2.0
// What RangeTable must say, worked out page by page: slow, simple, and written apart from it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "user/collect/range_table.h"

namespace leaktrace::collect {

class PageModel {
 public:
  static constexpr std::uint64_t kPage = 4096;

  void acquired(const RangeAcquired& call) {
    confirm(call.image, call.tid);
    if (call.length == 0) return;
    const auto id = mappings_.size();
    mappings_.push_back({call.image, call.stack, call.length, call.at_ns, call.nested, false, 0});
    const std::uint64_t count = (call.length + kPage - 1) / kPage;
    for (std::uint64_t i = 0; i < count; ++i) {
      drop({call.image, call.address / kPage + i}, !call.fixed);
    }
    for (std::uint64_t i = 0; i < count; ++i) {
      const Page page{id, std::min(kPage, call.length - i * kPage)};
      count_acquired(page);
      pages_[{call.image, call.address / kPage + i}] = page;
    }
  }

  void taken(model::ImageId image, std::uint32_t tid, std::uint64_t address, std::uint64_t length) {
    confirm(image, tid);
    Take take;
    if (length > 0) {
      for (auto n = address / kPage; n <= (address + length - 1) / kPage; ++n) {
        auto page = pages_.find({image, n});
        if (page == pages_.end()) continue;
        take.pages.push_back(*page);
        pages_.erase(page);
      }
    }
    take.unmatched = take.pages.empty();
    takes_[{image, tid}] = std::move(take);
  }

  void restored(model::ImageId image, std::uint32_t tid) {
    auto entry = takes_.find({image, tid});
    if (entry == takes_.end()) return;
    const Take take = std::move(entry->second);
    takes_.erase(entry);
    if (take.settled) {
      for (const auto& [at, page] : take.pages) count_acquired(page);
    }
    for (const auto& [at, page] : take.pages) {
      if (!pages_.try_emplace(at, page).second) count_released(page);
    }
  }

  void settle() {
    for (auto entry = takes_.begin(); entry != takes_.end();) {
      Take& take = entry->second;
      if (take.settled) {
        entry = takes_.erase(entry);
        continue;
      }
      count(take);
      take.settled = true;
      ++entry;
    }
  }

  void image_ended(model::ImageId image) {
    std::erase_if(pages_, [&](const auto& entry) { return entry.first.first == image; });
    std::erase_if(takes_, [&](const auto& entry) { return entry.first.first == image; });
    std::erase_if(sites_, [&](const auto& entry) { return entry.first.image == image; });
  }

  void reconcile(model::ImageId image, const std::vector<AddressRange>& mapped,
                 std::uint64_t as_of_ns) {
    std::vector<PageKey> gone;
    for (const auto& [at, page] : pages_) {
      if (at.first != image || mappings_[page.mapping].acquired_ns >= as_of_ns) continue;
      const std::uint64_t address = at.second * kPage;
      const bool is_mapped = std::ranges::any_of(mapped, [&](const AddressRange& range) {
        return address >= range.start && address < range.end;
      });
      if (!is_mapped) gone.push_back(at);
    }
    for (const PageKey& at : gone) drop(at, true);
  }

  [[nodiscard]] std::map<model::SiteKey, model::Counters> sites() const { return sites_; }

  [[nodiscard]] std::vector<model::Block> blocks() const {
    std::map<std::size_t, model::Block> by_mapping;
    for (const auto& [at, page] : pages_) {
      const Mapping& mapping = mappings_[page.mapping];
      if (mapping.nested) continue;
      auto& block = by_mapping
                        .try_emplace(page.mapping, model::Block{site(mapping), at.second * kPage, 0,
                                                                mapping.acquired_ns})
                        .first->second;
      block.size += page.bytes;
    }
    std::vector<model::Block> all;
    for (const auto& [mapping, block] : by_mapping) all.push_back(block);
    return all;
  }

  [[nodiscard]] std::uint64_t missed() const { return missed_; }
  [[nodiscard]] std::uint64_t unmatched() const { return unmatched_; }

 private:
  struct Mapping {
    model::ImageId image;
    model::StackId stack;
    std::uint64_t length = 0;
    std::uint64_t acquired_ns = 0;
    bool nested = false;
    bool missed = false;
    std::uint64_t pages = 0;  ///< not counted as released
  };
  struct Page {
    std::size_t mapping = 0;
    std::uint64_t bytes = 0;
  };
  using PageKey = std::pair<model::ImageId, std::uint64_t>;
  struct Take {
    std::vector<std::pair<PageKey, Page>> pages;
    bool unmatched = false;
    bool settled = false;
  };

  [[nodiscard]] static model::SiteKey site(const Mapping& mapping) {
    return {mapping.stack, mapping.image, model::Kind::mmap};
  }

  void count_acquired(const Page& page) {
    Mapping& mapping = mappings_[page.mapping];
    const bool first = ++mapping.pages == 1;
    if (mapping.nested) return;
    model::Counters& counters = sites_[site(mapping)];
    if (first && counters.acquired_count == counters.released_count) {
      counters.since_ns = mapping.acquired_ns;
    }
    counters.since_ns = std::min(counters.since_ns, mapping.acquired_ns);
    counters.acquired_bytes += page.bytes;
    if (first) ++counters.acquired_count;
  }

  void count_released(const Page& page) {
    Mapping& mapping = mappings_[page.mapping];
    const bool last = --mapping.pages == 0;
    if (mapping.nested) return;
    model::Counters& counters = sites_[site(mapping)];
    counters.released_bytes += page.bytes;
    if (last) ++counters.released_count;
  }

  void drop(const PageKey& at, bool missed) {
    auto found = pages_.find(at);
    if (found == pages_.end()) return;
    Mapping& mapping = mappings_[found->second.mapping];
    if (missed && !mapping.nested && !std::exchange(mapping.missed, true)) ++missed_;
    count_released(found->second);
    pages_.erase(found);
  }

  void count(const Take& take) {
    if (take.settled) return;
    for (const auto& [at, page] : take.pages) count_released(page);
    if (take.unmatched) ++unmatched_;
  }

  void confirm(model::ImageId image, std::uint32_t tid) {
    auto entry = takes_.find({image, tid});
    if (entry == takes_.end()) return;
    count(entry->second);
    takes_.erase(entry);
  }

  std::vector<Mapping> mappings_;
  std::map<PageKey, Page> pages_;
  std::map<std::pair<model::ImageId, std::uint32_t>, Take> takes_;
  std::map<model::SiteKey, model::Counters> sites_;
  std::uint64_t missed_ = 0;
  std::uint64_t unmatched_ = 0;
};

/// Runs a RangeTable and a PageModel over the same calls, chosen by numbers from `next(below)`.
class RangeTableCheck {
 public:
  explicit RangeTableCheck(RangeTable::Options options) : table_(options) {}

  template <typename Next>
  void step(Next next) {
    const model::ImageId image{static_cast<std::uint32_t>(1 + next(2))};
    const auto tid = static_cast<std::uint32_t>(1 + next(3));
    const std::uint64_t address = 0x7000'0000 + next(kPages) * PageModel::kPage;
    // Whole pages as often as not.
    const std::uint64_t length =
        next(kPages / 3) * PageModel::kPage + (next(2) == 0 ? 0 : next(PageModel::kPage));
    ++now_;
    switch (next(16)) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
      case 5: {
        const RangeAcquired call{.image = image,
                                 .tid = tid,
                                 .address = address,
                                 .length = length,
                                 .stack = {next(4)},
                                 .at_ns = now_,
                                 .nested = next(6) == 0,
                                 .fixed = next(3) != 0};
        table_.acquired(call);
        model_.acquired(call);
        break;
      }
      case 6:
      case 7:
      case 8:
      case 9:
      case 10:
      case 11:
        table_.taken(image, tid, address, length);
        model_.taken(image, tid, address, length);
        break;
      case 12:
      case 13:
        table_.restored(image, tid);
        model_.restored(image, tid);
        break;
      case 14:
        table_.settle();
        model_.settle();
        break;
      default:
        rare_step(image, next);
        break;
    }
  }

  /// What differs, in words; empty when nothing does. Costs as much as many steps.
  [[nodiscard]] std::string difference() {
    std::map<model::SiteKey, model::Counters> sites;
    for (const model::SiteCounters& site : table_.sites()) sites[site.site] = site.counters;
    if (sites != model_.sites()) return "site counters";
    for (const auto& [key, counters] : sites) {
      if (falls(last_[key], counters)) return "a counter fell";
    }
    last_ = sites;
    std::vector<model::Block> blocks;
    table_.append_blocks(blocks);
    std::vector<model::Block> expected = model_.blocks();
    const auto by_place = [](const model::Block& a, const model::Block& b) {
      return std::tie(a.site.image, a.handle) < std::tie(b.site.image, b.handle);
    };
    std::ranges::sort(blocks, by_place);
    std::ranges::sort(expected, by_place);
    if (blocks != expected) return "blocks";
    model::Losses losses{};
    table_.add_losses(losses);
    if (losses[LT_LOSS_MISSED_RELEASE] != model_.missed()) return "missed releases";
    if (losses[LT_LOSS_UNMATCHED_RELEASE] != model_.unmatched()) return "unmatched releases";
    return {};
  }

 private:
  static constexpr std::uint64_t kPages = 48;

  [[nodiscard]] static bool falls(const model::Counters& before, const model::Counters& now) {
    return now.acquired_count < before.acquired_count ||
           now.acquired_bytes < before.acquired_bytes ||
           now.released_count < before.released_count || now.released_bytes < before.released_bytes;
  }

  template <typename Next>
  void rare_step(model::ImageId image, Next next) {
    if (next(16) == 0) {
      table_.image_ended(image);
      model_.image_ended(image);
      std::erase_if(last_, [&](const auto& entry) { return entry.first.image == image; });
      return;
    }
    std::vector<AddressRange> mapped;
    for (std::uint64_t i = next(6); i > 0; --i) {
      const std::uint64_t start = 0x7000'0000 + next(kPages) * PageModel::kPage;
      mapped.push_back({start, start + next(kPages) * PageModel::kPage});
    }
    const std::uint64_t as_of = now_ - std::min(now_, next(30));
    table_.reconcile(image, mapped, as_of);
    model_.reconcile(image, mapped, as_of);
  }

  RangeTable table_;
  PageModel model_;
  std::map<model::SiteKey, model::Counters> last_;
  std::uint64_t now_ = 0;
};

}  // namespace leaktrace::collect
