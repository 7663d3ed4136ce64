// SPDX-License-Identifier: Apache-2.0
#include "worker.h"

namespace exact_mix {

Worker workers[kMaxThreads];

namespace {

template <typename T, std::size_t Capacity>
bool offer_to(pthread_mutex_t& lock, Bag<T, Capacity>& bag, const T& item) {
  pthread_mutex_lock(&lock);
  const bool room = !bag.full();
  if (room) bag.add(item);
  pthread_mutex_unlock(&lock);
  return room;
}

template <typename T, std::size_t Capacity>
bool take_from(pthread_mutex_t& lock, Bag<T, Capacity>& bag, T& item) {
  pthread_mutex_lock(&lock);
  const bool any = !bag.empty();
  if (any) item = bag.take(bag.size() - 1);
  pthread_mutex_unlock(&lock);
  return any;
}

}  // namespace

bool Inbox::offer(const Block& block) {
  return offer_to(lock_, blocks_, block);
}
bool Inbox::offer(const Piece& piece) {
  return offer_to(lock_, pieces_, piece);
}
bool Inbox::take(Block& block) {
  return take_from(lock_, blocks_, block);
}
bool Inbox::take(Piece& piece) {
  return take_from(lock_, pieces_, piece);
}

void Worker::prepare(unsigned index, unsigned all, std::uint64_t seed) {
  index_ = index;
  workers_ = all;
  random_ = Random(seed * kMaxThreads + index + 1);
  mapping_random_ = Random(~(seed * kMaxThreads + index + 1));
}

__attribute__((noipa)) void Worker::run(std::uint64_t operations) {
  for (std::uint64_t i = 0; i < operations; ++i) {
    if (i % 16 == 0) empty_inbox();
    const std::uint64_t dice = random_.below(1060);
    dice < 1000 ? heap_step(dice) : mapping_step();
  }
}

void Worker::count_acquired(SiteId site, std::size_t bytes) {
  Tally& tally = tallies[index_][site];
  ++tally.acquired_count;
  tally.acquired_bytes += bytes;
}

void Worker::count_released(SiteId site, std::size_t bytes) {
  Tally& tally = tallies[index_][site];
  ++tally.released_count;
  tally.released_bytes += bytes;
}

}  // namespace exact_mix
