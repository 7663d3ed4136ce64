/* SPDX-License-Identifier: Apache-2.0 */
/* COUNT short threads, eight at a time; each leaks one block of the three it takes. */
#include <pthread.h>

#include "testprog.h"

enum { kAtOnce = 8 };

static void* volatile lost[kAtOnce];

SITE void* churn_leaks(void) {
  return malloc(160);
}
SITE void* churn_frees(void) {
  return malloc(500);
}

static void* short_life(void* slot) {
  void* first = churn_frees();
  *(void* volatile*)slot = churn_leaks();
  void* second = churn_frees();
  free(first);
  free(second);
  return NULL;
}

int main(int argc, char** argv) {
  struct testprog self = testprog_begin(argc, argv, 4000);
  for (unsigned long started = 0; started < self.count;) {
    pthread_t threads[kAtOnce];
    int running = 0;
    for (; running < kAtOnce && started < self.count; ++running, ++started) {
      if (pthread_create(&threads[running], NULL, short_life, (void*)&lost[running]) != 0) return 1;
    }
    while (running > 0) pthread_join(threads[--running], NULL);
  }
  say_leaked("churn_leaks", self.count, self.count * 160);
  say_leaked("churn_frees", 0, 0);
  return testprog_end(&self);
}
