/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Built with sibling calls: a function whose last act is a call jumps, and its frame is gone before
 * the callee begins. The stack that is right is the one that is there; it holds no `jumps_…`.
 */
#include "stack_truth.h"

LEAKER(leak_after_jump, 24)
LEAKER(leak_after_jumps, 40)

static SITE void jumps_once(unsigned long count) {
  leak_after_jump(count);
}

static SITE void calls_jumper(unsigned long count) {
  jumps_once(count);
  kept = NULL;
}

static SITE void jumps_last(unsigned long count) {
  leak_after_jumps(count);
}
static SITE void jumps_between(unsigned long count) {
  jumps_last(count);
}
static SITE void jumps_first(unsigned long count) {
  char bytes[64];
  snprintf(bytes, sizeof bytes, "%lu", count);
  jumps_between(strtoul(bytes, NULL, 10));
}

static SITE void calls_jumpers(unsigned long count) {
  jumps_first(count);
  kept = NULL;
}

/* malloc itself is jumped to: this function is not on the stack when the block is taken. */
static SITE void* jumps_to_malloc(size_t size) {
  return malloc(size);
}

static SITE void leak_by_jump_to_malloc(unsigned long count) {
  for (unsigned long i = 0; i < count; ++i) kept = jumps_to_malloc(56);
  say_site("leak_by_jump_to_malloc", count, count * 56);
}

int main(int argc, char** argv) {
  struct testprog self = testprog_begin(argc, argv, 30);
  calls_jumper(self.count);
  calls_jumpers(self.count);
  leak_by_jump_to_malloc(self.count);
  return testprog_end(&self);
}
