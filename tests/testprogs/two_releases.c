/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One program in two releases (RELEASE is 1 or 2), for comparing recordings. Both keep 16 blocks in
 * keep_table, COUNT in grow, from two of its lines, and half of COUNT in shrink where release 2
 * keeps a quarter. Release 1 has a leak that release 2 has not, and the other way around; and code
 * is in front of them all in release 2, so that every offset differs.
 */
#include <sys/mman.h>

#include "testprog.h"

enum { kGrow = 100, kShrink = 200, kTable = 50, kOnly = 300, kMapping = 64 * 1024 };

static void* volatile kept;

#if RELEASE == 2
SITE unsigned long more_code(unsigned long seed) {
  for (int i = 0; i < 7; ++i) seed = seed * 6364136223846793005UL + (seed >> 7);
  return seed;
}
#endif

SITE void keep_table(void) {
  for (int i = 0; i < 16; ++i) kept = malloc(kTable);
}

SITE void grow(unsigned long turn) {
  if (turn % 2 == 0) {
    kept = malloc(kGrow);
  } else {
    kept = calloc(1, kGrow);
  }
}

SITE void shrink(void) {
  kept = malloc(kShrink);
}

#if RELEASE == 1
SITE void leak_of_the_first(void) {
  kept = malloc(kOnly);
}
#else
SITE void leak_of_the_second(void) {
  kept = malloc(kOnly);
}
#endif

SITE void keep_mapping(void) {
  kept = mmap(NULL, kMapping, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

int main(int argc, char** argv) {
  struct testprog self = testprog_begin(argc, argv, 100);
  keep_table();
  keep_mapping();
  for (unsigned long i = 0; i < self.count; ++i) grow(i);
  for (unsigned long i = 0; i < self.count / (2 * RELEASE); ++i) shrink();
#if RELEASE == 1
  leak_of_the_first();
#else
  kept = (void*)more_code((unsigned long)argc);
  leak_of_the_second();
#endif
  return testprog_end(&self);
}
