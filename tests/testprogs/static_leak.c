/* SPDX-License-Identifier: Apache-2.0 */
/* Statically linked: malloc is a function of the program itself. Leaks COUNT blocks. */
#include "testprog.h"

static void* volatile lost;

SITE void* leak_static(void) {
  return malloc(128);
}
SITE void* give_back(void) {
  return malloc(64);
}

int main(int argc, char** argv) {
  struct testprog self = testprog_begin(argc, argv, 900);
  for (unsigned long i = 0; i < self.count; ++i) {
    lost = leak_static();
    free(give_back());
  }
  say_leaked("leak_static", self.count, self.count * 128);
  say_leaked("give_back", 0, 0);
  return testprog_end(&self);
}
