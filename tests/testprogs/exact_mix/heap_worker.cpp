// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "worker.h"

namespace exact_mix {

void Worker::heap_step(std::uint64_t dice) {
  if (dice < 430) return acquire_block();
  if (dice < 810) return release_random_block();
  if (dice < 930) return replace_random_block();
  if (dice < 970) return hand_over_block();
  failing_call();
}

std::size_t Worker::random_size() {
  const std::uint64_t dice = random_.below(1000);
  if (dice < 800) return 1 + random_.below(256);
  if (dice < 950) return 1 + random_.below(4096);
  if (dice < 999) return 1 + random_.below(32 * 1024);
  return 128 * 1024 + random_.below(256 * 1024);  // glibc maps these one by one
}

void Worker::acquire_block() {
  if (blocks_.full()) return release_random_block();
  const HeapSite& site = kFreshSites[random_.below(kFreshSiteCount)];
  if (for_valgrind && site.id == id_site_pvalloc_a) return;
  const std::size_t size = random_size();
  void* address = site.acquire(size, static_cast<int>(random_.below(3)));
  if (address == nullptr) {
    ++unexpected_failures;
    return;
  }
  const std::size_t asked = size_asked(site.id, size);
  if (asked > 0) std::memset(address, 0x5a, asked < 64 ? asked : 64);
  count_acquired(site.id, asked);
  blocks_.add({address, asked, site.id, site.family});
}

void Worker::release_random_block() {
  if (blocks_.empty()) return;
  release(blocks_.take(random_.below(blocks_.size())));
}

void Worker::release(const Block& block) {
  // Counted first: once it is freed, another thread may be given the same address.
  count_released(block.site, block.size);
  if (random_.one_in(12)) {
    release_by_other_family(block.address, static_cast<unsigned>(random_.next()));
  } else {
    release_properly(block.address, block.size, block.family, random_.one_in(2));
  }
}

/// Grows or shrinks a block by a little (mostly in place) or to any size (mostly moved).
void Worker::replace_random_block() {
  if (blocks_.empty()) return;
  Block& block = blocks_[random_.below(blocks_.size())];
  if (random_.one_in(16)) {
    realloc_that_fails(block.address, static_cast<unsigned>(random_.next()))
        ? ++failed_calls
        : ++unexpected_failures;
    return;
  }
  std::size_t size = random_.one_in(2) ? block.size + random_.below(8) + 1 : random_size();
  SiteId site = id_site_realloc_a;
  void* address = nullptr;
  switch (random_.below(3)) {
    case 0:
      address = call_realloc_a(block.address, size);
      break;
    case 1:
      site = id_site_realloc_b;
      address = call_realloc_b(block.address, size);
      break;
    default:
      site = id_site_reallocarray_a;
      size = size_asked(site, size);
      address = call_reallocarray_a(block.address, size);
  }
  if (address == nullptr) {
    ++unexpected_failures;
    return;
  }
  count_released(block.site, block.size);
  count_acquired(site, size);
  block = {address, size, site, Family::c};
}

void Worker::hand_over_block() {
  if (blocks_.empty()) return;
  const std::size_t i = random_.below(blocks_.size());
  Worker& other = workers[random_.below(workers_)];
  if (other.inbox_.offer(blocks_[i])) blocks_.take(i);
}

void Worker::empty_inbox() {
  Block block;
  while (inbox_.take(block)) {
    release(block);
    ++cross_thread_releases;
  }
  Piece piece;
  while (!pieces_.full() && inbox_.take(piece)) pieces_.add(piece);
}

void Worker::failing_call() {
  const auto choice = static_cast<unsigned>(random_.next());
  call_that_fails(choice) ? ++failed_calls : ++unexpected_failures;
}

}  // namespace exact_mix
