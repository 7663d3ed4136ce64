// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bpf/bpf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "user/base/file.h"
#include "user/base/result.h"

namespace leaktrace::tracer {

/// The values of a BPF array map that was made with BPF_F_MMAPABLE, as memory: what is written is
/// what programs read. Holds the map alive, not its descriptor.
template <typename T>
class MappedArray {
  static_assert(sizeof(T) % 8 == 0, "the kernel pads values to 8 bytes");

 public:
  [[nodiscard]] static Result<MappedArray> map(int fd) {
    bpf_map_info info{};
    __u32 length = sizeof info;
    if (bpf_map_get_info_by_fd(fd, &info, &length) != 0) {
      return fail(describe_errno("cannot inspect a BPF map", errno));
    }
    if (info.value_size != sizeof(T) || (info.map_flags & BPF_F_MMAPABLE) == 0) {
      return fail("a BPF map is not of the form that the unwinder writes",
                  "this is a fault in leaktrace: programs and user space were built apart");
    }
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t bytes = (size_t{info.max_entries} * sizeof(T) + page - 1) / page * page;
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) return fail(describe_errno("cannot map a BPF map", errno));
    return MappedArray(static_cast<T*>(memory), info.max_entries, bytes);
  }

  MappedArray(MappedArray&& other) noexcept
      : values_(std::exchange(other.values_, nullptr)),
        count_(other.count_),
        bytes_(other.bytes_) {}
  MappedArray& operator=(MappedArray&& other) noexcept {
    std::swap(values_, other.values_);
    std::swap(count_, other.count_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  MappedArray(const MappedArray&) = delete;
  MappedArray& operator=(const MappedArray&) = delete;
  ~MappedArray() {
    if (values_ != nullptr) munmap(values_, bytes_);
  }

  [[nodiscard]] std::span<T> values() const { return {values_, count_}; }
  [[nodiscard]] uint32_t size() const { return count_; }

 private:
  MappedArray(T* values, uint32_t count, size_t bytes)
      : values_(values), count_(count), bytes_(bytes) {}

  T* values_;
  uint32_t count_;
  size_t bytes_;
};

}  // namespace leaktrace::tracer
