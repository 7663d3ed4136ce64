// SPDX-License-Identifier: Apache-2.0
//
// Leaves functions that hold memory by longjmp and by exceptions, COUNT times each, so that what
// they would have freed is leaked. What comes after must still be counted right.
#include <csetjmp>
#include <stdexcept>

#include "testprog.h"

namespace {

constexpr int kDepth = 8;
constexpr std::size_t kJumpSize = 48;
constexpr std::size_t kThrowSize = 80;
constexpr std::size_t kAfterSize = 112;
std::jmp_buf home;
void* volatile seen;

}  // namespace

extern "C" SITE void* hold_for_jump() {
  return malloc(kJumpSize);
}
extern "C" SITE void* hold_for_throw() {
  return malloc(kThrowSize);
}
extern "C" SITE void* hold_after() {
  return malloc(kAfterSize);
}

SITE void leave_by_jump() {
  std::longjmp(home, 1);
}
SITE void leave_by_throw() {
  throw std::runtime_error("out of here");
}

SITE void jump_from_depth(int depth) {
  void* held = hold_for_jump();
  seen = held;
  depth > 1 ? jump_from_depth(depth - 1) : leave_by_jump();
  free(held);
}

SITE void throw_from_depth(int depth) {
  void* held = hold_for_throw();
  seen = held;
  depth > 1 ? throw_from_depth(depth - 1) : leave_by_throw();
  free(held);
}

static void jump_once() {
  if (setjmp(home) == 0) jump_from_depth(kDepth);
}

static void throw_once() {
  try {
    throw_from_depth(kDepth);
  } catch (const std::runtime_error&) {
  }
}

int main(int argc, char** argv) {
  testprog self = testprog_begin(argc, argv, 200);
  for (unsigned long i = 0; i < self.count; ++i) {
    jump_once();
    throw_once();
    free(hold_after());
    seen = hold_after();
  }
  say_leaked("hold_for_jump", self.count * kDepth, self.count * kDepth * kJumpSize);
  say_leaked("hold_for_throw", self.count * kDepth, self.count * kDepth * kThrowSize);
  say_leaked("hold_after", self.count, self.count * kAfterSize);
  return testprog_end(&self);
}
