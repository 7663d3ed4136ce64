/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map_code FILE: maps the first page of a file as code, says "running", and leaks 100 blocks of
 * 64 bytes at SIGUSR2, which it answers with "leaked leak_block 100 6400". Ends at SIGTERM, or by
 * itself after five minutes.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>

#include "testprog.h"

enum { kSize = 64, kBlocks = 100 };

static void* volatile lost;

SITE void* leak_block(void) {
  return malloc(kSize);
}

int main(int argc, char** argv) {
  const int fd = argc > 1 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0) return 2;
  if (mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED) return 3;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  sigaddset(&set, SIGTERM);
  sigprocmask(SIG_BLOCK, &set, NULL);
  say_pid("running");
  const struct timespec pause = {5 * 60, 0};
  while (sigtimedwait(&set, NULL, &pause) == SIGUSR2) {
    for (int i = 0; i < kBlocks; ++i) lost = leak_block();
    char line[64];
    say(line,
        (size_t)snprintf(line, sizeof line, "leaked leak_block %d %d\n", kBlocks, kBlocks * kSize));
  }
  return 0;
}
