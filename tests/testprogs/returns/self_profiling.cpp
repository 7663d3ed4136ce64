// SPDX-License-Identifier: Apache-2.0
//
// Its malloc and its operator new walk the stack of each caller, as an allocator with a profiler
// does. Says how deep the stacks were and a hash of the frames that are the program's own.
#include <unwind.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

#include "../testprog.h"

extern "C" const char __executable_start;  // NOLINT: the linker's name
extern "C" const char etext;

namespace {

alignas(64) std::array<char, 32U << 20U> arena;
std::size_t taken = 0;
bool profiling = false;

struct Stacks {
  unsigned long count = 0;
  unsigned long frames = 0;
  std::uint64_t hash = 0;
};
Stacks of_malloc;
Stacks of_new;

_Unwind_Reason_Code note_frame(_Unwind_Context* context, void* to) {
  auto& stacks = *static_cast<Stacks*>(to);
  ++stacks.frames;
  const std::uintptr_t address = _Unwind_GetIP(context);
  const auto start = reinterpret_cast<std::uintptr_t>(&__executable_start);
  if (address >= start && address < reinterpret_cast<std::uintptr_t>(&etext)) {
    stacks.hash = stacks.hash * 1099511628211U + (address - start);
  }
  return _URC_NO_REASON;
}

SITE void profile(Stacks& stacks) {
  if (!profiling) return;
  profiling = false;  // the walk itself may take memory
  ++stacks.count;
  _Unwind_Backtrace(note_frame, &stacks);
  profiling = true;
}

SITE void* take(std::size_t size) {
  const std::size_t room = (size + 63U) & ~std::size_t{63};
  if (room > arena.size() - taken) std::abort();
  taken += room;
  return &arena[taken - room];
}

}  // namespace

// One thread, and blocks are never given out again.
extern "C" SITE void* malloc(std::size_t size) {
  void* block = take(size);
  profile(of_malloc);
  return block;
}
extern "C" SITE void free(void*) {}
extern "C" SITE void* calloc(std::size_t count, std::size_t size) {
  return take(count * size);
}
extern "C" SITE void* realloc(void* block, std::size_t size) {
  void* moved = take(size);
  if (block != nullptr) memcpy(moved, block, size);
  return moved;
}
SITE void* operator new(std::size_t size) {
  void* block = take(size);
  profile(of_new);
  return block;
}
SITE void operator delete(void*) noexcept {}
SITE void operator delete(void*, std::size_t) noexcept {}

namespace {

void* volatile lost;

SITE void leak_by_malloc() {
  lost = malloc(100);
}
SITE void leak_by_new() {
  lost = ::operator new(100);
}

void say_stacks(const char* of, const Stacks& stacks) {
  std::array<char, 128> line{};
  say(line.data(),
      static_cast<size_t>(snprintf(line.data(), line.size(), "stacks %s %lu frames %lu hash %lx\n",
                                   of, stacks.count, stacks.frames, stacks.hash)));
}

}  // namespace

int main(int argc, char** argv) {
  const testprog self = testprog_begin(argc, argv, 200);
  Stacks first;
  _Unwind_Backtrace(note_frame, &first);
  profiling = true;
  for (unsigned long i = 0; i < self.count; ++i) {
    leak_by_malloc();
    leak_by_new();
  }
  profiling = false;
  say_stacks("malloc", of_malloc);
  say_stacks("new", of_new);
  say_leaked("leak_by_malloc", self.count, self.count * 100);
  say_leaked("leak_by_new", self.count, self.count * 100);
  return testprog_end(&self);
}
