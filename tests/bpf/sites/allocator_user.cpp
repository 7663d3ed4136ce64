// SPDX-License-Identifier: Apache-2.0
// Calls every allocation function that it finds, with usual arguments, with null pointers and with
// sizes that cannot be had, and gives everything back: the same calls each time. Says when it is
// ready, and begins when it is sent a byte.

#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace leaktrace::test {
namespace {

constexpr std::array<std::size_t, 8> kSizes = {0, 1, 64, 1000, 5000, 70000, 1 << 20, 3 << 20};
constexpr std::size_t kTooMuch = SIZE_MAX / 4;

const void* object_of(const void* code) {
  Dl_info info{};
  return ::dladdr(code, &info) != 0 ? info.dli_fbase : nullptr;
}

// Null when the name is another object's than malloc: blocks of two allocators must not be mixed.
template <typename Function>
Function* find(const char* name) {
  const void* code = ::dlsym(RTLD_DEFAULT, name);
  const bool is_ours = code && object_of(code) == object_of(::dlsym(RTLD_DEFAULT, "malloc"));
  return is_ours ? reinterpret_cast<Function*>(const_cast<void*>(code)) : nullptr;
}

struct Allocator {
  void use_malloc() const {
    auto* malloc = find<void*(std::size_t)>("malloc");
    auto* calloc = find<void*(std::size_t, std::size_t)>("calloc");
    auto* realloc = find<void*(void*, std::size_t)>("realloc");
    auto* free = find<void(void*)>("free");
    for (std::size_t size : kSizes) {
      void* block = realloc(malloc(size), size + 100);
      free(realloc(block, size * 3 + 1));
      free(calloc(3, size));
    }
    free(nullptr);
    free(realloc(nullptr, 77));
    free(malloc(kTooMuch));
    free(calloc(kTooMuch, 8));
  }

  void use_aligned() const {
    auto* free = find<void(void*)>("free");
    for (const char* name : {"aligned_alloc", "memalign"}) {
      auto* aligned = find<void*(std::size_t, std::size_t)>(name);
      if (!aligned) continue;
      for (std::size_t size : kSizes) free(aligned(64, size));
    }
    for (const char* name : {"valloc", "pvalloc"}) {
      auto* paged = find<void*(std::size_t)>(name);
      if (!paged) continue;
      for (std::size_t size : kSizes) free(paged(size));
    }
    if (auto* align = find<int(void**, std::size_t, std::size_t)>("posix_memalign")) {
      for (std::size_t size : kSizes) {
        void* block = nullptr;
        if (align(&block, 128, size) == 0) free(block);
        if (align(&block, 3, size) == 0) free(block);
      }
    }
    if (auto* array = find<void*(void*, std::size_t, std::size_t)>("reallocarray")) {
      void* block = array(nullptr, 10, 10);
      free(array(block, 20, 20));
      free(array(nullptr, kTooMuch, 8));
    }
  }

  // Those that take a size are found under all their names, so that what is a jump to another is
  // called, too.
  void use_operators() const {
    for (const char* names : {"_Znwm", "_Znam"}) {
      auto* make = find<void*(std::size_t)>(names);
      auto* plain = find<void(void*)>("_ZdlPv");
      auto* array = find<void(void*)>("_ZdaPv");
      auto* sized = find<void(void*, std::size_t)>("_ZdlPvm");
      if (!make || !plain || !array || !sized) return;
      for (std::size_t size : kSizes) {
        plain(make(size));
        array(make(size));
        sized(make(size), size);
      }
      plain(nullptr);
    }
  }

  void use_mappings() const {
    auto* map = find<void*(void*, std::size_t, int, int, int, off_t)>("mmap");
    auto* unmap = find<int(void*, std::size_t)>("munmap");
    auto* remap = find<void*(void*, std::size_t, std::size_t, int, ...)>("mremap");
    if (!map || !unmap || !remap) return;
    constexpr std::size_t kPage = 4096;
    void* block =
        map(nullptr, 4 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    block = remap(block, 4 * kPage, 8 * kPage, MREMAP_MAYMOVE);
    unmap(block, 8 * kPage);
    unmap(nullptr, 0);
  }
};

}  // namespace
}  // namespace leaktrace::test

int main() {
  char byte = 'r';
  if (::write(STDOUT_FILENO, &byte, 1) != 1 || ::read(STDIN_FILENO, &byte, 1) != 1) return 1;
  const leaktrace::test::Allocator allocator;
  allocator.use_malloc();
  allocator.use_aligned();
  allocator.use_operators();
  allocator.use_mappings();
  return 0;
}
