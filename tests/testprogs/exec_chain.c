/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leaks COUNT blocks, then executes itself, which clears the address space, and leaks COUNT others.
 * What was leaked before is gone with the old image.
 */
#include "testprog.h"

static void* volatile lost;

SITE void* leak_before_exec(void) {
  return malloc(300);
}
SITE void* leak_after_exec(void) {
  return malloc(400);
}

int main(int argc, char** argv) {
  const int second = argc > 1 && strcmp(argv[1], "--second") == 0;
  struct testprog self = testprog_begin(argc - second, argv + second, 500);
  for (unsigned long i = 0; i < self.count; ++i) {
    lost = second ? leak_after_exec() : leak_before_exec();
  }
  if (second) {
    say_leaked("leak_before_exec", 0, 0);
    say_leaked("leak_after_exec", self.count, self.count * 400);
    return testprog_end(&self);
  }
  char count[32];
  snprintf(count, sizeof count, "%lu", self.count);
  char linger[] = "--linger";
  char mark[] = "--second";
  char* arguments[] = {argv[0], mark, count, self.linger ? linger : NULL, NULL};
  execv("/proc/self/exe", arguments);
  return 1;
}
