/* SPDX-License-Identifier: Apache-2.0 */
/*
 * malloc_storm THREADS [SECONDS]: threads that do nothing but allocate and free, so that all that
 * tracing costs is seen. Prints "ready PID" when all run; ends after SECONDS, or at SIGTERM, and
 * says how often each thread was at it at least: "least N".
 */
#include <pthread.h>

#include "testprog.h"

#define MOST_THREADS 256
#define CACHE_LINE 64

struct worker {
  pthread_t thread;
  volatile unsigned long rounds;
  char pad[CACHE_LINE];
};

static struct worker workers[MOST_THREADS];
static volatile int stop;

SITE void* allocate_briefly(size_t size) {
  return malloc(size);
}

static void* work(void* argument) {
  struct worker* self = argument;
  while (!stop) {
    void* volatile block = allocate_briefly(64);
    free(block);
    ++self->rounds;
  }
  return NULL;
}

int main(int argc, char** argv) {
  unsigned long threads = argc > 1 ? strtoul(argv[1], NULL, 10) : 1;
  unsigned long seconds = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
  if (threads == 0 || threads > MOST_THREADS) return 2;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  for (unsigned long i = 0; i < threads; ++i) {
    if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) return 1;
  }
  say_pid("ready");
  struct timespec limit = {.tv_sec = (time_t)seconds, .tv_nsec = 0};
  if (seconds == 0) {
    await_signal(SIGTERM);
  } else {
    sigtimedwait(&set, NULL, &limit);
  }
  stop = 1;
  unsigned long least = ~0UL;
  for (unsigned long i = 0; i < threads; ++i) {
    pthread_join(workers[i].thread, NULL);
    if (workers[i].rounds < least) least = workers[i].rounds;
  }
  char line[64];
  int size = snprintf(line, sizeof line, "least %lu\n", least);
  say(line, (size_t)size);
  return 0;
}
