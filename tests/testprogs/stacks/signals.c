/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers on the thread's stack, on an alternate stack, and in one another. */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/syscall.h>

#include "stack_truth.h"

#define ALTERNATE_BYTES (64 * 1024)

static unsigned long handler_count;

LEAKER(leak_in_handler, 24)
LEAKER(leak_on_alternate_stack, 40)
LEAKER(leak_in_nested_handler, 56)

/* Straight to the kernel, so that little of libc is between. */
static SITE void raise_here(int number) {
  syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), number);
}

static SITE void on_plain_signal(int number) {
  (void)number;
  leak_in_handler(handler_count);
}

static SITE void on_alternate_stack(int number) {
  (void)number;
  leak_on_alternate_stack(handler_count);
}

static SITE void on_inner_signal(int number) {
  (void)number;
  leak_in_nested_handler(handler_count);
}

static SITE void on_outer_signal(int number) {
  (void)number;
  raise_here(SIGWINCH);
}

static void handle(int number, void (*handler)(int), int flags) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = handler;
  action.sa_flags = flags;
  sigaction(number, &action, NULL);
}

static SITE void interrupt_plain(void) {
  raise_here(SIGURG);
}
static SITE void interrupt_to_alternate_stack(void) {
  raise_here(SIGIO);
}
static SITE void interrupt_twice(void) {
  raise_here(SIGPWR);
}

int main(int argc, char** argv) {
  struct testprog self = testprog_begin(argc, argv, 10);
  handler_count = self.count;
  /* Above the thread's stack would be natural and below is too: both happen. */
  stack_t alternate = {.ss_size = ALTERNATE_BYTES};
  alternate.ss_sp =
      mmap(NULL, ALTERNATE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (alternate.ss_sp == MAP_FAILED || sigaltstack(&alternate, NULL) != 0) return 1;
  handle(SIGURG, on_plain_signal, 0);
  handle(SIGIO, on_alternate_stack, SA_ONSTACK);
  handle(SIGPWR, on_outer_signal, SA_ONSTACK); /* from the alternate stack … */
  handle(SIGWINCH, on_inner_signal, 0);        /* … and once more on it */
  interrupt_plain();
  interrupt_to_alternate_stack();
  interrupt_twice();
  return testprog_end(&self);
}
