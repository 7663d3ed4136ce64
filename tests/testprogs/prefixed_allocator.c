/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An allocator under names of its own, as jemalloc has them with a prefix, in a static program. It
 * leaks 4 KiB each 2 ms, until SIGTERM or for five minutes. Its chunks are mapped by the C library.
 */
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>

#include "testprog.h"

enum { kSize = 4096, kChunk = 1 << 20, kTicks = 5 * 60 * 500 };

static char* next;
static size_t left;
static void* volatile lost;

SITE void* _rjem_malloc(size_t size) {
  size = (size + 15) & ~(size_t)15;
  if (size > left) {
    void* chunk = mmap(NULL, kChunk, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (chunk == MAP_FAILED || size > kChunk) return NULL;
    next = chunk;
    left = kChunk;
  }
  char* block = next;
  next += size;
  left -= size;
  return block;
}

SITE void _rjem_free(void* block) {
  (void)block;
}

SITE void* leak_prefixed(void) {
  char* block = _rjem_malloc(kSize);
  if (block) memset(block, 1, kSize);
  return block;
}

int main(int argc, char** argv) {
  struct testprog self = testprog_begin(argc, argv, kTicks);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigprocmask(SIG_BLOCK, &set, NULL);
  say_pid("running");
  const struct timespec pause = {0, 2 * 1000 * 1000};
  for (unsigned long tick = 0; tick < self.count; ++tick) {
    lost = leak_prefixed();
    if (sigtimedwait(&set, NULL, &pause) == SIGTERM) break;
  }
  _rjem_free(lost);
  return 0;
}
