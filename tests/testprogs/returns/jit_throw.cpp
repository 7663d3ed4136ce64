// SPDX-License-Identifier: Apache-2.0
//
// As a runtime with a just-in-time compiler does: makes code in memory, says to the unwinder how
// its frames are (__register_frame), and lets exceptions of the program's own operator new pass
// through it. x86-64 only.
#include <sys/mman.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

#include "../testprog.h"

extern "C" void __register_frame(void*);

namespace {
alignas(64) std::array<char, 16U << 20U> arena;
std::size_t taken = 0;
}  // namespace

SITE void* operator new(std::size_t size) {
  const std::size_t room = (size + 63U) & ~std::size_t{63};
  if (size > arena.size() || room > arena.size() - taken) throw std::bad_alloc();
  taken += room;
  return &arena[taken - room];
}
SITE void operator delete(void*) noexcept {}
SITE void operator delete(void*, std::size_t) noexcept {}

namespace {

using Body = void (*)();
using Made = void (*)(Body);

// void made(void (*body)()) { body(); }
constexpr std::array<std::uint8_t, 11> kCode = {
    0x48, 0x83, 0xec, 0x08,  // 0: sub $8, %rsp
    0xff, 0xd7,              // 4: call *%rdi
    0x48, 0x83, 0xc4, 0x08,  // 6: add $8, %rsp
    0xc3,                    // 10: ret
};

// .eh_frame: a CIE, an FDE whose two addresses are filled in, and the end.
constexpr std::array<std::uint8_t, 56> kFrames = {
    16, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0x78, 16,      // CIE: factors 1 and -8, return address
                                                     // in 16
    0x0c, 7, 8, 0x90, 1, 0, 0,                       // CFA = rsp + 8, return address at CFA - 8
    28, 0, 0, 0, 24, 0, 0, 0,                        // FDE: its CIE is 24 bytes before
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  // begin and size
    0x44, 0x0e, 16,                                  // after 4 bytes: CFA = rsp + 16
    0x46, 0x0e, 8,                                   // after 6 more: rsp + 8
    0, 0, 0, 0, 0, 0,                                // nops
};

Made make() {
  constexpr std::size_t kPage = 4096;
  void* page = mmap(nullptr, 2 * kPage, PROT_READ | PROT_WRITE | PROT_EXEC,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) _exit(1);
  auto* code = static_cast<char*>(page);
  memcpy(code, kCode.data(), kCode.size());
  char* frames = code + kPage;  // zero behind the last entry: the end
  memcpy(frames, kFrames.data(), kFrames.size());
  const auto begin = reinterpret_cast<std::uintptr_t>(code);
  const std::uintptr_t size = kCode.size();
  memcpy(frames + 28, &begin, sizeof begin);
  memcpy(frames + 36, &size, sizeof size);
  __register_frame(frames);
  return reinterpret_cast<Made>(code);
}

void* volatile lost;
volatile std::size_t huge = std::size_t{1} << 62U;

SITE void ask_too_much() {
  lost = ::operator new(huge);
}
SITE void leak_from_made_code() {
  lost = ::operator new(100);
}

}  // namespace

int main(int argc, char** argv) {
  const testprog self = testprog_begin(argc, argv, 200);
  const Made made = make();
  unsigned long caught = 0;
  for (unsigned long i = 0; i < self.count; ++i) {
    try {
      made(ask_too_much);
    } catch (const std::bad_alloc&) {
      ++caught;
    }
    made(leak_from_made_code);
  }
  std::array<char, 64> line{};
  say(line.data(), static_cast<size_t>(snprintf(line.data(), line.size(), "caught %lu\n", caught)));
  say_leaked("leak_from_made_code", self.count, self.count * 100);
  return testprog_end(&self);
}
