/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goes through COUNT distinct stacks on each of two threads, with a pause after each few, and gives
 * back at once what it acquires at them: a block, and every eighth time a mapping. After a longer
 * pause, in which whoever watches can catch up, it leaks a block on each of 20 stacks more.
 */
#include <pthread.h>
#include <sys/mman.h>

#include "testprog.h"

enum {
  kThreads = 2,
  kBits = 16,
  kAtOnce = 10,
  kPauseMicroseconds = 40000,
  kLastPauseSeconds = 3,
  kLeaks = 20
};

static unsigned long count;
static void* volatile lost;

SITE void* acquire_block(void) {
  return malloc(72);
}

SITE void* go_down(unsigned long path, int bits);

SITE void* go_aside(unsigned long path, int bits) {
  void* block = go_down(path, bits);
  __asm__ volatile("" ::: "memory");
  return block;
}

SITE void* go_down(unsigned long path, int bits) {
  void* block = NULL;
  if (bits == 0) {
    block = acquire_block();
  } else if ((path & 1) == 0) {
    block = go_down(path >> 1, bits - 1);
  } else {
    block = go_aside(path >> 1, bits - 1);
  }
  __asm__ volatile("" ::: "memory");
  return block;
}

SITE void* leak_at_the_end(unsigned long path) {
  void* block = go_down(path, kBits);
  __asm__ volatile("" ::: "memory");
  return block;
}

SITE void map_and_unmap(unsigned long path) {
  void* page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  lost = page;
  if (path != 0 && page != MAP_FAILED) munmap(page, 4096);
}

static void* walk(void* number) {
  const unsigned long first = (unsigned long)number * count;
  for (unsigned long i = 0; i < count; ++i) {
    free(go_down(first + i, kBits));
    if (i % 8 == 0) map_and_unmap(i + 1);
    if (i % kAtOnce == kAtOnce - 1) usleep(kPauseMicroseconds);
  }
  return NULL;
}

int main(int argc, char** argv) {
  struct testprog self = testprog_begin(argc, argv, 1000);
  count = self.count;
  pthread_t threads[kThreads];
  for (unsigned long i = 0; i < kThreads; ++i) {
    if (pthread_create(&threads[i], NULL, walk, (void*)i) != 0) return 1;
  }
  for (int i = 0; i < kThreads; ++i) pthread_join(threads[i], NULL);
  sleep(kLastPauseSeconds);
  for (unsigned long i = 0; i < kLeaks; ++i) lost = leak_at_the_end(i);
  say_leaked("leak_at_the_end", kLeaks, kLeaks * 72UL);
  return testprog_end(&self);
}
