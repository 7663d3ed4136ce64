/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Grows by system calls of its own, which no function that is hooked makes: 64 KiB each 5 ms, until
 * SIGTERM or for five minutes, and writes it many times, to use CPU time.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "testprog.h"

enum { kSize = 64 * 1024, kTimes = 100, kTicks = 5 * 60 * 200 };

SITE void* map_by_itself(void) {
  return (void*)syscall(SYS_mmap, NULL, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                        -1, 0);
}

int main(int argc, char** argv) {
  struct testprog self = testprog_begin(argc, argv, kTicks);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigprocmask(SIG_BLOCK, &set, NULL);
  say_pid("running");
  const struct timespec pause = {0, 5 * 1000 * 1000};
  for (unsigned long tick = 0; tick < self.count; ++tick) {
    void* mapping = map_by_itself();
    if (mapping == MAP_FAILED) return 1;
    for (int i = 1; i < kTimes; ++i) memset(mapping, i, kSize);
    if (sigtimedwait(&set, NULL, &pause) == SIGTERM) break;
  }
  return 0;
}
