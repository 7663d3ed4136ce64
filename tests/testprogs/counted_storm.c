/* SPDX-License-Identifier: Apache-2.0 */
/*
 * counted_storm: allocates and frees and does nothing else. Prints "counter ADDRESS PID" first: at
 * that address of its memory is the number of rounds so far, 64 bits, for whoever wants to know
 * how fast it is.
 */
#include "testprog.h"

static volatile unsigned long rounds;

SITE void* allocate_briefly(size_t size) {
  return malloc(size);
}

int main(void) {
  char line[64];
  int size = snprintf(line, sizeof line, "counter %lu %d\n", (unsigned long)&rounds, (int)getpid());
  say(line, (size_t)size);
  for (;;) {
    void* volatile block = allocate_briefly(64);
    free(block);
    ++rounds;
  }
}
