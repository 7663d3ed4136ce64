// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "leaktrace/abi.h"
#include "user/model/record.h"

namespace leaktrace::collect {

/// A mapping that was made: what a call of mmap, or the new half of mremap, says.
struct RangeAcquired {
  model::ImageId image;
  std::uint32_t tid = 0;
  std::uint64_t address = 0;
  std::uint64_t length = 0;  ///< as asked for, in bytes; the mapping covers whole pages
  model::StackId stack;
  std::uint64_t at_ns = 0;  ///< since the trace began
  bool nested = false;      ///< made by an allocator inside a heap call: tracked, not counted
  bool fixed = false;       ///< replaces what was there
};

/// Addresses [start, end).
struct AddressRange {
  std::uint64_t start = 0;
  std::uint64_t end = 0;
};

/// The outstanding mappings of all traced processes. They are kept here and not in a BPF map
/// because munmap may release any part of them, and of several at once.
///
///   mmap(3 pages) ── mapping A          munmap(page 2)
///   ┌──────────────────────┐            ┌──────┐      ┌──────┐
///   │       part of A      │     ──▶    │ part │      │ part │   A is one acquisition still;
///   └──────────────────────┘            └──────┘      └──────┘   it counts as released with
///                                                                its last part
///
/// Bytes are those asked for: of 5000 bytes in two pages, the first page holds 4096 and the second
/// 904. Count is in mappings: acquired_count - released_count of a site is how many of its mappings
/// have a part outstanding.
///
/// A release is seen before its call is made (taken) and withdrawn when the call fails (restored).
/// Counters must never fall, so what was taken leaves the table at once (another thread may get the
/// same addresses before the call returns) but is counted as released only once the call is known
/// to have succeeded: at the thread's next event, or at settle(), which every reading of the
/// counters begins with. If the call then does fail, which takes a reading just while it ran, what
/// is put back is counted as acquired again: the totals are a little high, what is outstanding
/// is right.
///
/// Not synchronized: one thread calls it.
class RangeTable {
 public:
  struct Options {
    std::uint64_t page_size = 4096;  ///< a power of two
    /// Parts of mappings held at once, with those taken by calls under way. Over it, a mapping is
    /// not stored (loss live_table_full); about 200 bytes each.
    std::size_t max_parts = std::size_t{1} << 20;
    std::size_t max_sites = std::size_t{1} << 16;  ///< over it: loss site_table_full
  };

  explicit RangeTable(const Options& options) : options_(options) {}

  /// Takes a range event of the ring. `began_ns` is when the trace began, in the event's clock.
  /// Events of other types are ignored.
  void apply(const lt_event_range& event, std::uint64_t began_ns);

  /// A mapping was made. What was tracked at its addresses is closed: as replaced when `fixed`,
  /// otherwise as a missed release, counted once a mapping.
  void acquired(const RangeAcquired& call);
  /// A release of every page that [address, address + length) touches is about to happen. When it
  /// succeeds and nothing was tracked there, it counts as an unmatched release.
  void taken(model::ImageId image, std::uint32_t tid, std::uint64_t address, std::uint64_t length);
  /// The call that took last in this thread failed: what it took is back, except where another
  /// mapping has been made since.
  void restored(model::ImageId image, std::uint32_t tid);
  /// Counts what calls have taken as released. Call it before reading sites or blocks.
  void settle();

  /// The address space is gone (exec, exit), and its sites with it: read them first.
  void image_ended(model::ImageId image);
  /// After lost events: closes what is not in `mapped` (all ranges of /proc/PID/maps, in any
  /// order), as missed releases. Mappings acquired at `as_of_ns` or later are left alone. To be
  /// right: take the time, read the file, apply the events that the ring holds, then call this.
  void reconcile(model::ImageId image, std::span<const AddressRange> mapped,
                 std::uint64_t as_of_ns);

  /// Running totals of every site, in no order.
  [[nodiscard]] std::vector<model::SiteCounters> sites() const;
  /// The same of the sites that changed since the last call.
  [[nodiscard]] std::vector<model::SiteCounters> take_changed_sites();
  /// Appends one block for each outstanding mapping that counts: its lowest outstanding address
  /// and the bytes still outstanding.
  void append_blocks(std::vector<model::Block>& blocks) const;
  /// Adds what this table lost, by cause.
  void add_losses(model::Losses& losses) const;

  /// Stacks of mappings that are outstanding or may be put back, and of sites whose change
  /// take_changed_sites() has not given out.
  [[nodiscard]] std::unordered_set<model::StackId> stacks_in_use() const;
  /// Drops the sites of these stacks, which must not be in use.
  void forget(std::span<const model::StackId> stacks);
  [[nodiscard]] std::size_t site_count() const { return sites_; }

  /// Parts held now, of Options::max_parts.
  [[nodiscard]] std::size_t parts() const { return held_; }

 private:
  struct Mapping {
    model::SiteKey site;
    std::uint64_t asked_start = 0;
    std::uint64_t asked_end = 0;
    std::uint64_t acquired_ns = 0;
    std::uint64_t in_table = 0;  ///< asked bytes in parts of the table
    std::uint32_t parts = 0;     ///< in the table or taken, and not counted as released
    bool nested = false;
    bool missed = false;  ///< a missed release of it was counted

    [[nodiscard]] std::uint64_t asked_in(AddressRange range) const;
  };
  using MappingPtr = std::shared_ptr<Mapping>;

  struct Part {
    std::uint64_t end = 0;
    MappingPtr mapping;
  };
  using Parts = std::map<std::uint64_t, Part>;  ///< by start; they never overlap

  /// What left the table.
  struct Piece {
    AddressRange range;
    MappingPtr mapping;
  };
  /// What a thread's last release took.
  struct Take {
    std::vector<Piece> pieces;
    bool unmatched = false;
    bool settled = false;  ///< counted as released, kept for a late restored()
  };
  struct Site {
    model::Counters counters;
    bool changed = true;
  };
  struct Image {
    Parts parts;
    std::unordered_map<std::uint32_t, Take> takes;  ///< by tid
    std::unordered_map<model::StackId, Site> sites;
  };

  [[nodiscard]] AddressRange pages(std::uint64_t address, std::uint64_t length) const;
  template <typename Leave>
  [[nodiscard]] std::vector<Piece> carve(Image& image, AddressRange range, Leave leave);
  void store(Image& image, const RangeAcquired& call, AddressRange range);
  void drop_remainder(Image& image, const MappingPtr& mapping, AddressRange range);
  void confirm(Image& image, std::uint32_t tid);
  void count_taken(Image& image, Take& take);
  void release(Image& image, Mapping& mapping, std::uint64_t bytes);
  void count_missed(const std::vector<Piece>& pieces);
  void close(Image& image, const std::vector<Piece>& pieces);
  void reacquire(Image& image, Mapping& mapping, std::uint64_t bytes);
  void put_back(Image& image, const Piece& piece);
  void insert(Parts& parts, AddressRange range, const MappingPtr& mapping);
  [[nodiscard]] Site* site_for(Image& image, model::StackId stack);
  static void count_acquired(Site& site, std::uint64_t bytes, std::uint64_t acquired_ns);

  Options options_;
  std::map<model::ImageId, Image> images_;
  std::size_t held_ = 0;  ///< parts in tables and pieces in takes
  std::size_t sites_ = 0;
  std::uint64_t live_table_full_ = 0;
  std::uint64_t site_table_full_ = 0;
  std::uint64_t missed_release_ = 0;
  std::uint64_t unmatched_release_ = 0;
};

}  // namespace leaktrace::collect
