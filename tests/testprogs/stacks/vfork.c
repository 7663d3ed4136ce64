/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A child of vfork runs in its parent's memory and on its parent's stack: what it takes from the
 * heap and does not give back stays with the parent.
 */
#define _GNU_SOURCE
#include <sys/wait.h>

#include "stack_truth.h"

LEAKER(leak_in_vfork_child, 24)
LEAKER(leak_after_vfork, 40)

static SITE void child_work(unsigned long count) {
  leak_in_vfork_child(count);
}

static SITE void run_vfork_child(unsigned long count) {
  const pid_t child = vfork();
  if (child < 0) abort();
  if (child == 0) {
    child_work(count);
    _exit(0);
  }
  waitpid(child, NULL, 0);
}

static SITE void parent_work(unsigned long count) {
  leak_after_vfork(count);
}

int main(int argc, char** argv) {
  struct testprog self = testprog_begin(argc, argv, 10);
  run_vfork_child(self.count);
  parent_work(self.count);
  return testprog_end(&self);
}
