/* SPDX-License-Identifier: Apache-2.0 */
/* Leaks COUNT blocks, stops itself, and leaks COUNT more when it is continued. */
#include "testprog.h"

static void* volatile lost;

SITE void* leak_before_stop(void) {
  return malloc(40);
}
SITE void* leak_after_stop(void) {
  return malloc(56);
}

int main(int argc, char** argv) {
  struct testprog self = testprog_begin(argc, argv, 300);
  for (unsigned long i = 0; i < self.count; ++i) lost = leak_before_stop();
  say_pid("stopping");
  raise(SIGSTOP);
  for (unsigned long i = 0; i < self.count; ++i) lost = leak_after_stop();
  say_leaked("leak_before_stop", self.count, self.count * 40);
  say_leaked("leak_after_stop", self.count, self.count * 56);
  return testprog_end(&self);
}
