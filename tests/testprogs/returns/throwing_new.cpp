// SPDX-License-Identifier: Apache-2.0
//
// Asks operator new for too much on four threads and handles std::bad_alloc, as a server does that
// limits sizes; in between it takes and frees blocks, and leaks some. Says how often it was refused
// and how many bytes passed. With OWN_NEW the operators are the program's own.
#include <pthread.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <new>

#include "../testprog.h"

#ifdef OWN_NEW
// Blocks of an arena, without malloc, of which leaktrace sees nothing then but these operators.
namespace {
alignas(64) std::array<char, 64U << 20U> arena;
std::atomic<std::size_t> taken = 0;
}  // namespace

SITE void* operator new(std::size_t size) {
  if (size > arena.size()) throw std::bad_alloc();
  const std::size_t room = (size + 63U) & ~std::size_t{63};
  const std::size_t at = taken.fetch_add(room);
  if (at > arena.size() - room) throw std::bad_alloc();
  return &arena[at];
}
SITE void operator delete(void*) noexcept {}
SITE void operator delete(void*, std::size_t) noexcept {}
#endif

namespace {

constexpr int kThreads = 4;
constexpr std::size_t kSize = 1024;

volatile std::size_t huge = std::size_t{1} << 62U;
std::atomic<unsigned long> refused = 0;
std::atomic<unsigned long> passed = 0;
std::atomic<unsigned long> leaked = 0;
unsigned long rounds = 0;
void* volatile lost;

SITE bool ask_too_much() {
  try {
    lost = ::operator new(huge);
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

SITE void pass_block() {
  void* block = ::operator new(kSize);
  static_cast<volatile char*>(block)[0] = 1;
  ::operator delete(block);
  passed += kSize;
}

SITE void leak_block() {
  lost = ::operator new(kSize);
  ++leaked;
}

void* work(void*) {
  for (unsigned long i = 0; i < rounds; ++i) {
    if (!ask_too_much()) ++refused;
    pass_block();
    if (i % 10 == 0) leak_block();
  }
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  const testprog self = testprog_begin(argc, argv, 200);
  rounds = self.count;
  std::array<pthread_t, kThreads> threads{};
  for (pthread_t& thread : threads) {
    if (pthread_create(&thread, nullptr, work, nullptr) != 0) return 1;
  }
  for (pthread_t thread : threads) pthread_join(thread, nullptr);
  std::array<char, 128> line{};
  say(line.data(),
      static_cast<size_t>(snprintf(line.data(), line.size(), "refused %lu passed %lu\n",
                                   refused.load(), passed.load())));
  say_leaked("leak_block", leaked, leaked * kSize);
  return testprog_end(&self);
}
