/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parent keeps COUNT blocks and forks. The child frees its copies of the half of them, which is
 * nothing to the parent, leaks COUNT blocks of its own, and ends. Prints "child PID".
 */
#include <sys/wait.h>

#include "testprog.h"

enum { kParentSize = 100, kChildSize = 200, kMost = 100000 };

static void* kept[kMost];
static void* volatile lost;

SITE void* parent_keeps(void) {
  return malloc(kParentSize);
}
SITE void* child_leaks(void) {
  return malloc(kChildSize);
}

static int child(unsigned long count) {
  for (unsigned long i = 0; i < count / 2; ++i) free(kept[i]);
  for (unsigned long i = 0; i < count; ++i) lost = child_leaks();
  say_pid("child");
  say_leaked("child_leaks", count, count * kChildSize);
  return 0;
}

int main(int argc, char** argv) {
  struct testprog self = testprog_begin(argc, argv, 1000);
  if (self.count > kMost) return 2;
  for (unsigned long i = 0; i < self.count; ++i) kept[i] = parent_keeps();
  pid_t pid = fork();
  if (pid < 0) return 1;
  if (pid == 0) _exit(child(self.count));
  int status = 0;
  if (waitpid(pid, &status, 0) != pid || status != 0) return 1;
  say_leaked("parent_keeps", self.count, self.count * kParentSize);
  return testprog_end(&self);
}
