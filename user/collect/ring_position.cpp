// SPDX-License-Identifier: Apache-2.0
#include "user/collect/ring_position.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "user/base/file.h"

namespace leaktrace::collect {

Result<RingPosition> RingPosition::map(int ring) {
  const auto page_size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  void* pages = ::mmap(nullptr, 2 * page_size, PROT_READ, MAP_SHARED, ring, 0);
  if (pages == MAP_FAILED) return fail(describe_errno("cannot map the kernel's events", errno));
  return RingPosition(static_cast<char*>(pages), page_size);
}

RingPosition::RingPosition(RingPosition&& other) noexcept
    : pages_(std::exchange(other.pages_, nullptr)), page_size_(other.page_size_) {}

RingPosition::~RingPosition() {
  if (pages_ != nullptr) ::munmap(pages_, 2 * page_size_);
}

std::uint64_t RingPosition::load(std::size_t offset) const {
  return __atomic_load_n(reinterpret_cast<const unsigned long*>(pages_ + offset), __ATOMIC_ACQUIRE);
}

}  // namespace leaktrace::collect
