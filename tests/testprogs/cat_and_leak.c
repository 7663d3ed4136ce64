/* SPDX-License-Identifier: Apache-2.0 */
/* Copies stdin to stdout, leaks one block of 64 bytes a chunk, and ends with status COUNT. */
#include "testprog.h"

static void* volatile lost;

SITE void* leak_chunk(void) {
  return malloc(64);
}

int main(int argc, char** argv) {
  struct testprog self = testprog_begin(argc, argv, 0);
  static char chunk[4096];
  ssize_t size = 0;
  while ((size = read(STDIN_FILENO, chunk, sizeof chunk)) > 0) {
    lost = leak_chunk();
    say(chunk, (size_t)size);
  }
  static const char kBye[] = "to stderr\n";
  if (write(STDERR_FILENO, kBye, sizeof kBye - 1) < 0) return 1;
  return (int)self.count;
}
