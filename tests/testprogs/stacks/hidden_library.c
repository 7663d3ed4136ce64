/* SPDX-License-Identifier: Apache-2.0 */
/* A library whose symbol table is stripped: only what it exports has a name. */
#include "stack_truth.h"

LEAKER(leak_in_library, 24)

static SITE void hidden_step(unsigned long count) {
  leak_in_library(count);
}

SITE void exported_leak(unsigned long count) {
  hidden_step(count);
}

static SITE void hidden_after(unsigned long count) {
  exported_leak(count);
}

SITE void exported_entry(unsigned long count) {
  hidden_after(count);
}
