/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leaks one block at every single instruction of some functions: the processor's trap flag raises
 * SIGTRAP after each of them, and the handler leaks. So the stack has to be right in the middle of
 * prologues, epilogues and calls, and in the stubs of a procedure linkage table, bound lazily.
 * Not position independent: the address of an imported function then is that of its stub.
 */
#define _GNU_SOURCE
#include <ucontext.h>

#include "stack_truth.h"

#ifndef __x86_64__
#error "the trap flag is x86's"
#endif

#define STEP_SIZE 24
#define PLT_SIZE 40
#define PLT_ENTRY 16

static unsigned long steps, plt_steps;
static volatile long sink;
static uintptr_t step_begin, step_end;

static SITE void leak_at_step(void) {
  kept = malloc(STEP_SIZE);
  ++steps;
  say_stack("leak_at_step");
}

static SITE void leak_in_plt(void) {
  kept = malloc(PLT_SIZE);
  ++plt_steps;
  say_stack("leak_in_plt");
}

/* ---- What is stepped through -------------------------------------------------------------------
 */

SITE long stepped_registers(long a, long b, long c, long d) {
  long product = a * b;
  for (int i = 0; i < 2; ++i) product = product * c + d * sink;
  sink = product;
  return product * a + b + c * d;
}

SITE long stepped_calls(long a, long b, long c, long d) {
  const long first = stepped_registers(a, b, c, d);
  char bytes[512];
  ((volatile char*)bytes)[a] = (char)first;
  const long second = stepped_registers(first, b, c, d);
  return first * second + ((volatile char*)bytes)[a];
}

SITE long stepped_realigned(long a, long b, long c, long d) {
  _Alignas(64) volatile char bytes[128];
  bytes[a] = (char)b;
  char* more = (char*)__builtin_alloca((size_t)c * 16);
  ((volatile char*)more)[0] = 1;
  return stepped_registers(a, b, c, d) + bytes[a] + more[0];
}

SITE void stepped_end(void) {
  sink = 0;
}

/* Its first call goes through the stub to the dynamic linker. */
SITE int calls_plt(void) {
  return getppid() != 0;
}

/* ---- The stepping ------------------------------------------------------------------------------
 */

static inline uintptr_t address(void* function) {
  return (uintptr_t)function;
}

static int in_plt(uintptr_t pc) {
  const uintptr_t stub = address((void*)getppid);
  const uintptr_t first = stub & ~(uintptr_t)4095; /* entry 0 is in the same page */
  return pc >= first && pc < stub + PLT_ENTRY;
}

static SITE void on_trap(int number, siginfo_t* info, void* context) {
  (void)number;
  (void)info;
  const uintptr_t pc = (uintptr_t)((ucontext_t*)context)->uc_mcontext.gregs[REG_RIP];
  if (pc >= step_begin && pc < step_end) leak_at_step();
  if (in_plt(pc)) leak_in_plt();
}

static inline __attribute__((always_inline)) void trap_flag(int on) {
  if (on) {
    __asm__ volatile("pushfq\n\torq $0x100, (%%rsp)\n\tpopfq" ::: "memory", "cc");
  } else {
    __asm__ volatile("pushfq\n\tandq $~0x100, (%%rsp)\n\tpopfq" ::: "memory", "cc");
  }
}

static SITE void step_through_frames(void) {
  trap_flag(1);
  stepped_calls(1, 2, 3, 4);
  stepped_realigned(1, 2, 3, 4);
  trap_flag(0);
}

static SITE void step_through_plt(void) {
  trap_flag(1);
  calls_plt();
  trap_flag(0);
}

int main(int argc, char** argv) {
  struct testprog self = testprog_begin(argc, argv, 1);
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = on_trap;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGTRAP, &action, NULL);
  step_begin = address((void*)stepped_registers);
  step_end = address((void*)stepped_end);
  step_through_frames();
  step_through_plt();
  say_leaked("leak_at_step", steps, steps * STEP_SIZE);
  say_leaked("leak_in_plt", plt_steps, plt_steps * PLT_SIZE);
  return testprog_end(&self);
}
