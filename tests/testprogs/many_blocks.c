/* SPDX-License-Identifier: Apache-2.0 */
/* Holds COUNT live blocks at once, then frees every second one. */
#include <sys/mman.h>

#include "testprog.h"

SITE void* hold_block(void) {
  return malloc(32);
}

int main(int argc, char** argv) {
  struct testprog self = testprog_begin(argc, argv, 20000);
  void** held = mmap(NULL, self.count * sizeof *held, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (held == MAP_FAILED) return 1;
  for (unsigned long i = 0; i < self.count; ++i) held[i] = hold_block();
  for (unsigned long i = 0; i < self.count; i += 2) free(held[i]);
  const unsigned long left = self.count / 2;
  say_leaked("hold_block", left, left * 32);
  return testprog_end(&self);
}
