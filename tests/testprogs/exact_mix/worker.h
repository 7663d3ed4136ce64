// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "sites.h"
#include "truth.h"

namespace exact_mix {

/// xorshift64*.
class Random {
 public:
  explicit Random(std::uint64_t seed = 1) : state_(seed * 0x9E3779B97F4A7C15ULL | 1) {}
  std::uint64_t next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545F4914F6CDD1DULL >> 8;
  }
  std::uint64_t below(std::uint64_t bound) { return next() % bound; }
  bool one_in(std::uint64_t n) { return below(n) == 0; }

 private:
  std::uint64_t state_;
};

struct Block {
  void* address;
  std::size_t size;  ///< as asked for
  SiteId site;
  Family family;
};

/// One successful mmap or mremap. It counts as outstanding until its last byte is unmapped.
struct Mapping {
  std::atomic<int> pieces;
  SiteId site;
};

/// A part of a Mapping that is still mapped.
struct Piece {
  char* address;
  std::size_t length;
  Mapping* mapping;
};

/// A table of fixed size whose order does not matter.
template <typename T, std::size_t Capacity>
class Bag {
 public:
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool full() const { return size_ == Capacity; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  T& operator[](std::size_t i) { return items_[i]; }
  void add(const T& item) { items_[size_++] = item; }
  T take(std::size_t i) {
    T item = items_[i];
    items_[i] = items_[--size_];
    return item;
  }

 private:
  std::size_t size_ = 0;
  T items_[Capacity];
};

/// Where other threads put what this one shall release.
class Inbox {
 public:
  bool offer(const Block& block);
  bool offer(const Piece& piece);
  bool take(Block& block);
  bool take(Piece& piece);

 private:
  pthread_mutex_t lock_ = PTHREAD_MUTEX_INITIALIZER;
  Bag<Block, 256> blocks_;
  Bag<Piece, 64> pieces_;
};

/// One thread of the mix. Lives in static memory.
class Worker {
 public:
  void prepare(unsigned index, unsigned workers, std::uint64_t seed);
  void run(std::uint64_t operations);

  std::uint64_t failed_calls = 0;
  std::uint64_t unexpected_failures = 0;
  std::uint64_t cross_thread_releases = 0;

 private:
  void heap_step(std::uint64_t dice);
  void acquire_block();
  void release_random_block();
  void release(const Block& block);
  void replace_random_block();
  void hand_over_block();
  void empty_inbox();
  void failing_call();

  void mapping_step();
  void map_new();
  void map_over_piece();
  void unmap_random_piece();
  void unmap_with_neighbour(const Piece& piece);
  void remap_random_piece();
  void remap_onto_other_piece();
  void hand_over_piece();

  std::size_t random_size();
  std::size_t random_pages(std::size_t most) { return (mapping_random_.below(most) + 1) * kPage; }
  void count_acquired(SiteId site, std::size_t bytes);
  void count_released(SiteId site, std::size_t bytes);
  void add_mapping(SiteId site, void* address, std::size_t length);
  /// `length` bytes from `offset` of the piece are gone; what is left of it stays.
  void cut(const Piece& piece, std::size_t offset, std::size_t length);

  /// Too few free places in pieces_ for a step that adds some: a cut in the middle leaves one more.
  [[nodiscard]] bool crowded() const { return pieces_.size() + 4 > kMostPieces; }

  static constexpr std::size_t kPage = 4096;
  static constexpr std::size_t kMostPieces = 256;
  unsigned index_ = 0;
  unsigned workers_ = 1;
  Random random_;          ///< of the heap: the same calls for the same seed
  Random mapping_random_;  ///< apart, because what can be mapped depends on where things lie
  Bag<Block, 2048> blocks_;
  Bag<Piece, kMostPieces> pieces_;
  Inbox inbox_;
};

extern Worker workers[kMaxThreads];

}  // namespace exact_mix
