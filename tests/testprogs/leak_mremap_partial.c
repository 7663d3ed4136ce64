/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maps 16 pages COUNT times, gives back two at the head, two at the tail and two in the middle of
 * each, and grows one of the two parts that are left with mremap:
 *
 *   pages  0 1 | 2 3 4 5 6 | 7 8 | 9 10 11 12 13 | 14 15
 *          ---   keep_part   ---   grow_part        -----
 */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "testprog.h"

enum { kPage = 4096, kGrown = 20 * kPage };

SITE char* map_whole(void) {
  return mmap(NULL, 16 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

SITE int cut_parts(char* whole) {
  return munmap(whole, 2 * kPage) + munmap(whole + 14 * kPage, 2 * kPage) +
         munmap(whole + 7 * kPage, 2 * kPage);
}

SITE char* grow_part(char* part) {
  return mremap(part, 5 * kPage, kGrown, MREMAP_MAYMOVE);
}

int main(int argc, char** argv) {
  struct testprog self = testprog_begin(argc, argv, 50);
  for (unsigned long i = 0; i < self.count; ++i) {
    char* whole = map_whole();
    if (whole == MAP_FAILED || cut_parts(whole) != 0) return 1;
    if (grow_part(whole + 9 * kPage) == MAP_FAILED) return 1;
  }
  say_leaked("map_whole", self.count, self.count * 5 * kPage);
  say_leaked("grow_part", self.count, self.count * kGrown);
  return testprog_end(&self);
}
