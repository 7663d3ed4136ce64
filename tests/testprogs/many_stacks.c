/* SPDX-License-Identifier: Apache-2.0 */
/* Leaks one block on each of COUNT distinct stacks: the bits of a number choose the way down. */
#include "testprog.h"

static void* volatile lost;

SITE void* leak_at_bottom(void) {
  return malloc(72);
}

SITE void* go_down(unsigned long path, int bits);

SITE void* go_left(unsigned long path, int bits) {
  void* block = go_down(path, bits);
  lost = block;
  return block;
}

SITE void* go_right(unsigned long path, int bits) {
  void* block = go_down(path, bits);
  lost = block;
  return block;
}

SITE void* go_down(unsigned long path, int bits) {
  void* block = NULL;
  if (bits == 0) {
    block = leak_at_bottom();
  } else if ((path & 1) == 0) {
    block = go_left(path >> 1, bits - 1);
  } else {
    block = go_right(path >> 1, bits - 1);
  }
  lost = block;
  return block;
}

int main(int argc, char** argv) {
  struct testprog self = testprog_begin(argc, argv, 1000);
  int bits = 0;
  while ((1UL << bits) < self.count) ++bits;
  for (unsigned long path = 0; path < self.count; ++path) go_down(path, bits);
  say_leaked("leak_at_bottom", self.count, self.count * 72);
  return testprog_end(&self);
}
