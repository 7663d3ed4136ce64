/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leaks 1 KiB each 5 ms, and as often takes and frees as much, until SIGTERM. At SIGUSR2 it answers
 * with "alive TICKS". It ends by itself after five minutes, should nobody end it.
 */
#include <errno.h>
#include <time.h>

#include "testprog.h"

enum { kSize = 1024, kTicks = 5 * 60 * 200 };

static void* volatile lost;

SITE void* leak_tick(void) {
  return malloc(kSize);
}
SITE void* pass_tick(void) {
  return malloc(kSize);
}

int main(int argc, char** argv) {
  struct testprog self = testprog_begin(argc, argv, kTicks);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  sigaddset(&set, SIGTERM);
  sigprocmask(SIG_BLOCK, &set, NULL);
  say_pid("running");
  const struct timespec pause = {0, 5 * 1000 * 1000};
  for (unsigned long tick = 0; tick < self.count; ++tick) {
    lost = leak_tick();
    free(pass_tick());
    const int number = sigtimedwait(&set, NULL, &pause);
    if (number == SIGTERM) break;
    if (number != SIGUSR2) continue;
    char line[48];
    say(line, (size_t)snprintf(line, sizeof line, "alive %lu\n", tick));
  }
  return 0;
}
