/* SPDX-License-Identifier: Apache-2.0 */
/* A 32-bit process that waits (-m32): leaktrace cannot trace it and must say so. */
#include "testprog.h"

int main(void) {
  say_pid("ready");
  alarm(300);
  pause();
  return 0;
}
