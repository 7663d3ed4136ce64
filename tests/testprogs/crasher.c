/* SPDX-License-Identifier: Apache-2.0 */
/* Leaks COUNT blocks and dies of SIGSEGV. */
#include <sys/resource.h>

#include "testprog.h"

static void* volatile lost;
static int* volatile nowhere;

SITE void* leak_before_crash(void) {
  return malloc(256);
}

int main(int argc, char** argv) {
  struct testprog self = testprog_begin(argc, argv, 100);
  const struct rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  for (unsigned long i = 0; i < self.count; ++i) lost = leak_before_crash();
  say_leaked("leak_before_crash", self.count, self.count * 256);
  *nowhere = 1;
  return 1;
}
