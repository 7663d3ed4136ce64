/* SPDX-License-Identifier: Apache-2.0 */
/* User-space threads: stacks that are switched, on heap memory and below or above each other. */
#include <sys/mman.h>
#include <ucontext.h>

#include "stack_truth.h"

#define STACK_BYTES (64 * 1024)

static ucontext_t caller, fiber;
static unsigned long fiber_count;

LEAKER(leak_in_fiber, 24)
LEAKER(leak_in_resumed_fiber, 40)

static SITE void fiber_step(int first) {
  if (first) {
    leak_in_fiber(fiber_count);
  } else {
    leak_in_resumed_fiber(fiber_count);
  }
}

static SITE void fiber_body(void) {
  fiber_step(1);
  swapcontext(&fiber, &caller);
  fiber_step(0);
}

static SITE void run_fiber(void) {
  swapcontext(&caller, &fiber);
}

int main(int argc, char** argv) {
  struct testprog self = testprog_begin(argc, argv, 10);
  fiber_count = self.count;
  getcontext(&fiber);
  fiber.uc_stack.ss_sp =
      mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (fiber.uc_stack.ss_sp == MAP_FAILED) return 1;
  fiber.uc_stack.ss_size = STACK_BYTES;
  fiber.uc_link = &caller;
  makecontext(&fiber, fiber_body, 0);
  run_fiber();
  run_fiber();
  return testprog_end(&self);
}
