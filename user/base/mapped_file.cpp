// SPDX-License-Identifier: Apache-2.0
#include "user/base/mapped_file.h"

#include <fmt/core.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <optional>
#include <utility>

#include "user/base/file.h"

namespace leaktrace {
namespace {

constexpr std::size_t kMaxMappings = 4096;

/// What the handler may put zeros into. A slot is taken by setting `used`; `end` is 0 while the
/// range is not valid, and is written last.
struct Slot {
  std::atomic<bool> used{false};
  std::atomic<bool> cut{false};
  std::atomic<std::uintptr_t> begin{0};
  std::atomic<std::uintptr_t> end{0};
};
static_assert(std::atomic<std::uintptr_t>::is_always_lock_free);

std::array<Slot, kMaxMappings> slots;
struct sigaction before {};
std::uintptr_t page_size = 4096;

/// Zeros from the page of `address` to the end of the mapping that holds it. One piece, however
/// much is missing: a hole for each page would soon be more mappings than a process may have.
bool put_zeros(std::uintptr_t address) {
  for (Slot& slot : slots) {
    const std::uintptr_t end = slot.end.load(std::memory_order_acquire);
    if (address >= end || address < slot.begin.load(std::memory_order_relaxed)) continue;
    const std::uintptr_t page = address & ~(page_size - 1);
    void* zeros = ::mmap(reinterpret_cast<void*>(page), end - page, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    if (zeros == MAP_FAILED) return false;
    slot.cut.store(true, std::memory_order_relaxed);
    return true;
  }
  return false;
}

void on_bus_error(int /*signal*/, siginfo_t* info, void* /*context*/) {
  const int error = errno;
  const bool fault = info->si_code == BUS_ADRERR || info->si_code == BUS_OBJERR;
  if (!fault || !put_zeros(reinterpret_cast<std::uintptr_t>(info->si_addr))) {
    ::sigaction(SIGBUS, &before, nullptr);
    // A fault comes again at once; one that was sent would be lost.
    if (info->si_code <= 0) ::raise(SIGBUS);
  }
  errno = error;
}

bool install_handler() {
  page_size = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  struct sigaction action {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  ::sigemptyset(&action.sa_mask);
  return ::sigaction(SIGBUS, &action, &before) == 0;
}

std::optional<std::size_t> take_slot() {
  for (std::size_t i = 0; i < slots.size(); ++i) {
    bool used = false;
    if (slots[i].used.compare_exchange_strong(used, true)) return i;
  }
  return std::nullopt;
}

}  // namespace

Result<MappedFile> MappedFile::map(int fd) {
  static const bool installed = install_handler();
  if (!installed) return fail("cannot handle SIGBUS");
  struct stat info {};
  if (::fstat(fd, &info) != 0) return fail(describe_errno("cannot look at the file", errno));
  if (info.st_size <= 0) return fail("the file is empty");
  const auto slot = take_slot();
  if (!slot) return fail(fmt::format("more than {} files are mapped", kMaxMappings));
  const auto size = static_cast<std::size_t>(info.st_size);
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (data == MAP_FAILED) {
    const int error = errno;
    slots[*slot].used = false;
    return fail(describe_errno("cannot map the file", error));
  }
  const auto begin = reinterpret_cast<std::uintptr_t>(data);
  const std::uintptr_t whole_pages = (size + page_size - 1) & ~(page_size - 1);
  slots[*slot].cut = false;
  slots[*slot].begin.store(begin, std::memory_order_relaxed);
  slots[*slot].end.store(begin + whole_pages, std::memory_order_release);
  return MappedFile(static_cast<char*>(data), size, *slot);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(other.size_), slot_(other.slot_) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(slot_, other.slot_);
  return *this;
}

MappedFile::~MappedFile() {
  unmap();
}

void MappedFile::unmap() {
  if (data_ == nullptr) return;
  slots[slot_].end.store(0, std::memory_order_release);
  ::munmap(data_, size_);
  slots[slot_].used = false;
}

bool MappedFile::make_writable(std::uint64_t offset, std::uint64_t size) const {
  if (offset >= size_) return true;
  const std::uint64_t page = offset & ~std::uint64_t{page_size - 1};
  const std::uint64_t end = offset + std::min<std::uint64_t>(size, size_ - offset);
  return ::mprotect(data_ + page, end - page, PROT_READ | PROT_WRITE) == 0;
}

bool MappedFile::cut() const {
  return data_ != nullptr && slots[slot_].cut.load(std::memory_order_relaxed);
}

}  // namespace leaktrace
