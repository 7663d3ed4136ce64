// SPDX-License-Identifier: Apache-2.0
#include <sys/mman.h>

#include "worker.h"

namespace exact_mix {

namespace {

constexpr std::size_t kMostMappings = 1 << 20;
constexpr std::size_t kMostPages = 16;

Mapping mappings[kMostMappings];
std::atomic<std::size_t> mappings_used;

}  // namespace

void Worker::mapping_step() {
  switch (mapping_random_.below(12)) {
    case 0:
    case 1:
    case 2:
    case 3:
      return map_new();
    case 4:
    case 5:
    case 6:
      return unmap_random_piece();
    case 7:
    case 8:
      return remap_random_piece();
    case 9:
      return mapping_random_.one_in(2) ? map_over_piece() : remap_onto_other_piece();
    case 10:
      return hand_over_piece();
    default:
      if (pieces_.empty()) return;
      const Piece& piece = pieces_[mapping_random_.below(pieces_.size())];
      const auto choice = static_cast<unsigned>(mapping_random_.next());
      mapping_call_that_fails(piece.address, piece.length, choice) ? ++failed_calls
                                                                   : ++unexpected_failures;
  }
}

void Worker::add_mapping(SiteId site, void* address, std::size_t length) {
  Mapping& mapping = mappings[mappings_used.fetch_add(1)];
  mapping.site = site;
  mapping.pieces.store(1);
  count_acquired(site, length);
  pieces_.add({static_cast<char*>(address), length, &mapping});
}

void Worker::cut(const Piece& piece, std::size_t offset, std::size_t length) {
  Tally& tally = tallies[index_][piece.mapping->site];
  tally.released_bytes += length;
  const std::size_t after = piece.length - offset - length;
  const int left = (offset > 0 ? 1 : 0) + (after > 0 ? 1 : 0);
  if (piece.mapping->pieces.fetch_add(left - 1) + left - 1 == 0) ++tally.released_count;
  if (offset > 0) pieces_.add({piece.address, offset, piece.mapping});
  if (after > 0) pieces_.add({piece.address + offset + length, after, piece.mapping});
}

void Worker::map_new() {
  if (crowded() || mappings_used.load() + kMaxThreads > kMostMappings) {
    return unmap_random_piece();
  }
  constexpr SiteId kSites[] = {id_site_mmap_a, id_site_mmap_b, id_site_mmap64_a};
  const SiteId site = kSites[mapping_random_.below(3)];
  const std::size_t length = random_pages(kMostPages);
  void* address = call_mmap(site, length);
  if (address == MAP_FAILED) {
    ++unexpected_failures;
    return;
  }
  add_mapping(site, address, length);
}

/// The whole, the head, the tail or the middle of a piece.
void Worker::unmap_random_piece() {
  if (pieces_.empty()) return;
  const Piece piece = pieces_.take(mapping_random_.below(pieces_.size()));
  const std::size_t pages = piece.length / kPage;
  std::size_t first = 0;
  std::size_t count = pages;
  switch (pages < 3 || crowded() ? 0 : mapping_random_.below(5)) {
    case 0:
      return unmap_with_neighbour(piece);
    case 1:
      break;
    case 2:
      count = 1 + mapping_random_.below(pages - 1);
      break;
    case 3:
      first = 1 + mapping_random_.below(pages - 1);
      count = pages - first;
      break;
    default:
      first = 1 + mapping_random_.below(pages - 2);
      count = 1 + mapping_random_.below(pages - first - 1);
  }
  if (munmap(piece.address + first * kPage, count * kPage) != 0) {
    ++unexpected_failures;
    pieces_.add(piece);
    return;
  }
  cut(piece, first * kPage, count * kPage);
}

/// Unmaps a piece, and the one that begins where it ends, if we have it, in one call.
void Worker::unmap_with_neighbour(const Piece& piece) {
  std::size_t length = piece.length;
  Piece neighbour{};
  for (std::size_t i = 0; i < pieces_.size(); ++i) {
    if (pieces_[i].address != piece.address + piece.length) continue;
    neighbour = pieces_.take(i);
    length += neighbour.length;
    break;
  }
  if (munmap(piece.address, length) != 0) {
    ++unexpected_failures;
    pieces_.add(piece);
    if (neighbour.length > 0) pieces_.add(neighbour);
    return;
  }
  cut(piece, 0, piece.length);
  if (neighbour.length > 0) cut(neighbour, 0, neighbour.length);
}

/// mmap with MAP_FIXED over part of a piece: what was there is gone without any munmap.
void Worker::map_over_piece() {
  if (pieces_.empty() || crowded()) return;
  const std::size_t i = mapping_random_.below(pieces_.size());
  const std::size_t pages = pieces_[i].length / kPage;
  const std::size_t first = mapping_random_.below(pages);
  const std::size_t length = (1 + mapping_random_.below(pages - first)) * kPage;
  void* at = pieces_[i].address + first * kPage;
  if (call_mmap_fixed(at, length) != at) {
    ++unexpected_failures;
    return;
  }
  cut(pieces_.take(i), first * kPage, length);
  add_mapping(id_site_mmap_fixed, at, length);
}

void Worker::remap_random_piece() {
  if (pieces_.empty() || crowded()) return;
  const std::size_t i = mapping_random_.below(pieces_.size());
  const Piece piece = pieces_[i];
  SiteId site = id_site_mremap_grow;
  std::size_t length = piece.length + random_pages(4);
  const std::uint64_t dice = mapping_random_.below(10);
  if (dice < 3 && piece.length > kPage) {
    site = id_site_mremap_shrink;
    length = random_pages(piece.length / kPage - 1);
  } else if (dice < 5) {
    site = id_site_mremap_move;
    length = piece.length + 64 * kPage;
  } else if (dice < 6) {
    site = id_site_mremap_keep;
    length = piece.length;
  }
  void* address = call_mremap(site, piece.address, piece.length, length, nullptr);
  if (address == MAP_FAILED) {
    ++failed_calls;  // grown over a seam of two mappings of the kernel's: EFAULT, nothing changed
    return;
  }
  if (site != id_site_mremap_keep) cut(pieces_.take(i), 0, piece.length);
  add_mapping(site, address, length);
}

/// mremap onto the head of another piece, which is thereby gone.
void Worker::remap_onto_other_piece() {
  if (pieces_.size() < 2 || crowded()) return;
  const Piece from = pieces_.take(mapping_random_.below(pieces_.size()));
  const Piece onto = pieces_.take(mapping_random_.below(pieces_.size()));
  const std::size_t length = from.length < onto.length ? from.length : onto.length;
  void* address = call_mremap(id_site_mremap_fixed, from.address, length, length, onto.address);
  if (address == MAP_FAILED) {
    ++failed_calls;
    pieces_.add(from);
    pieces_.add(onto);
    return;
  }
  cut(from, 0, length);
  cut(onto, 0, length);
  add_mapping(id_site_mremap_fixed, address, length);
}

void Worker::hand_over_piece() {
  if (pieces_.empty()) return;
  const std::size_t i = mapping_random_.below(pieces_.size());
  Worker& other = workers[mapping_random_.below(workers_)];
  if (other.inbox_.offer(pieces_[i])) pieces_.take(i);
}

}  // namespace exact_mix
