/* SPDX-License-Identifier: Apache-2.0 */
/* The same as static_leak but dynamic: the test copies it where only another mount namespace sees
 * it. */
#include "testprog.h"

static void* volatile lost;

SITE void* leak_in_namespace(void) {
  return malloc(333);
}

int main(int argc, char** argv) {
  struct testprog self = testprog_begin(argc, argv, 450);
  for (unsigned long i = 0; i < self.count; ++i) lost = leak_in_namespace();
  say_leaked("leak_in_namespace", self.count, self.count * 333);
  return testprog_end(&self);
}
