/* SPDX-License-Identifier: Apache-2.0 */
/* A history that only ever grows: one block, COUNT times reallocated 1 KiB larger. */
#include "testprog.h"

enum { kStep = 1024 };

SITE char* append_history(char* history, unsigned long entries) {
  char* grown = realloc(history, entries * kStep);
  if (grown != NULL) grown[entries * kStep - 1] = 1;
  return grown;
}

int main(int argc, char** argv) {
  struct testprog self = testprog_begin(argc, argv, 2000);
  static char* history;
  for (unsigned long entries = 1; entries <= self.count; ++entries) {
    history = append_history(history, entries);
    if (history == NULL) return 1;
  }
  say_leaked("append_history", 1, self.count * kStep);
  return testprog_end(&self);
}
