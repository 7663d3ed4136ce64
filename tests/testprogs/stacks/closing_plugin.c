/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plugins of closing.c, from one source: NAME is in the names of a plugin's functions, SIZE is
 * that of its blocks, and SHIFT moves its code, so that other functions lie where a twin has these.
 */
#include "stack_truth.h"

#define GLUE(a, b) a##b
#define WITH_NAME(prefix, name) GLUE(prefix, name)
#define TEXT_OF(name) #name
#define TEXT(name) TEXT_OF(name)

#ifdef SHIFT
SITE unsigned long WITH_NAME(unused_, NAME)(unsigned long a) {
  char bytes[1024];
  memset(bytes, (int)a, sizeof bytes);
  kept = bytes;
  return (unsigned long)(uintptr_t)kept * a;
}
#endif

#define LEAK WITH_NAME(leak_, NAME)
LEAKER_NAMED(LEAK, TEXT(LEAK), SIZE)

static SITE void WITH_NAME(step_, NAME)(unsigned long count) {
  LEAK(count);
}

void plugin_work(unsigned long count) {
  WITH_NAME(step_, NAME)(count);
}
