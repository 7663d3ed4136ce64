/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recursion as deep as the tracer follows, one frame deeper, and far deeper. COUNT blocks each.
 *
 *   usage: recursion [--wait] [--linger] [COUNT]
 */
#include "stack_truth.h"

LEAKER(leak_shallow, 24)
LEAKER(leak_deep, 40)
LEAKER(leak_very_deep, 56)

static SITE unsigned long descend(unsigned long depth, unsigned long count,
                                  void (*leak)(unsigned long)) {
  if (depth <= 1) {
    leak(count);
    return depth;
  }
  return descend(depth - 1, count, leak) + 1;
}

/* Two functions that call each other, as parsers have them. */
static SITE unsigned long odd(unsigned long depth, unsigned long count);

static SITE unsigned long even(unsigned long depth, unsigned long count) {
  if (depth == 0) {
    leak_very_deep(count);
    return 0;
  }
  return odd(depth - 1, count) + 1;
}

static SITE unsigned long odd(unsigned long depth, unsigned long count) {
  volatile char bytes[300];
  bytes[depth % sizeof bytes] = 1;
  return even(depth - 1, count) + (unsigned long)bytes[depth % sizeof bytes];
}

int main(int argc, char** argv) {
  struct testprog self = testprog_begin(argc, argv, 15);
  descend(100, self.count, leak_shallow);
  descend(200, self.count, leak_deep);
  even(20000, self.count);
  return testprog_end(&self);
}
