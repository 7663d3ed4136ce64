/* SPDX-License-Identifier: Apache-2.0 */
/* Maps COUNT times 64 KiB and gives none back; every other mapping of a second site is given back.
 */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "testprog.h"

enum { kLength = 64 * 1024 };

SITE void* leak_mapping(void) {
  return mmap(NULL, kLength, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

SITE void* scratch_mapping(void) {
  return mmap(NULL, kLength, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

int main(int argc, char** argv) {
  struct testprog self = testprog_begin(argc, argv, 100);
  for (unsigned long i = 0; i < self.count; ++i) {
    char* kept = leak_mapping();
    char* scratch = scratch_mapping();
    if (kept == MAP_FAILED || scratch == MAP_FAILED) return 1;
    kept[0] = 1;
    scratch[0] = 1;
    if (munmap(scratch, kLength) != 0) return 1;
  }
  say_leaked("leak_mapping", self.count, self.count * kLength);
  say_leaked("scratch_mapping", 0, 0);
  return testprog_end(&self);
}
