/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the programs of this folder share. Each leaks at call chains that are hard to unwind and
 * says, beside testprog.h's "leaked FUNCTION COUNT BYTES", the chain as libgcc's unwinder sees it,
 * which shares nothing with leaktrace's:
 *
 *   stack FUNCTION ADDRESS…     of FUNCTION's callers, innermost first, as return addresses;
 *                               of interrupted code the address + 1, as leaktrace gives it
 */
#ifndef STACK_TRUTH_H
#define STACK_TRUTH_H

#include <stdint.h>
#include <unwind.h>

#include "../testprog.h"

#define MOST_FRAMES 160

static void* volatile kept;

struct stack_truth {
  uintptr_t address[MOST_FRAMES];
  int frames;
};

static _Unwind_Reason_Code note_frame(struct _Unwind_Context* context, void* to) {
  struct stack_truth* truth = (struct stack_truth*)to;
  int interrupted = 0;
  const uintptr_t address = _Unwind_GetIPInfo(context, &interrupted);
  if (address == 0 || truth->frames == MOST_FRAMES) return _URC_END_OF_STACK;
  truth->address[truth->frames++] = address + (interrupted != 0);
  return _URC_NO_REASON;
}

/* Called by `function`, whose own frame is left out: only its call of malloc is to be seen. */
static SITE void say_stack(const char* function) {
  struct stack_truth truth = {{0}, 0};
  _Unwind_Backtrace(note_frame, &truth);
  char line[64 + MOST_FRAMES * 20];
  int size = snprintf(line, 64, "stack %s", function);
  for (int i = 2; i < truth.frames; ++i)
    size += snprintf(line + size, 20, " %lx", (unsigned long)truth.address[i]);
  line[size++] = '\n';
  say(line, (size_t)size);
}

static inline void say_site(const char* function, unsigned long count, unsigned long bytes) {
  say_leaked(function, count, bytes);
  say_stack(function);
  __asm__ volatile(""); /* lest the call above becomes a jump that takes the caller's frame away */
}

/*
 * A function that leaks COUNT blocks of SIZE bytes at one place.
 */
#define LEAKER_NAMED(name, text, size)                               \
  static SITE void name(unsigned long count) {                       \
    for (unsigned long i = 0; i < count; ++i) kept = malloc((size)); \
    say_site(text, count, count*(size));                             \
  }
#define LEAKER(name, size) LEAKER_NAMED(name, #name, size)

#endif
