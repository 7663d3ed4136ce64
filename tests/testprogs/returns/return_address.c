/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leaks by malloc and looks, while malloc runs, whether its return address is the one that the call
 * put there: a return trampoline has another. It looks when malloc maps the large block: that
 * system call is turned into a signal (Documentation/admin-guide/syscall-user-dispatch.rst,
 * Linux 5.11). With GO_PROGRAM the program has the section by which a Go program is known. x86-64
 * only.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include "../testprog.h"

#ifdef GO_PROGRAM
__asm__(".pushsection .gopclntab, \"a\", @progbits\n.quad 0xfffffff1\n.popsection");
#endif

/* Of <linux/prctl.h>, which old headers do not have. */
enum { kSetDispatch = 59, kDispatchOn = 1 };

/* Used by name in the assembly below. */
extern volatile char lt_dispatch;
extern uintptr_t* volatile lt_slot;
extern volatile uintptr_t lt_expected;
volatile char lt_dispatch = 0;      /* 1: system calls become signals */
uintptr_t* volatile lt_slot = NULL; /* where the return address of malloc is */
volatile uintptr_t lt_expected = 0; /* and what it should be */

static volatile unsigned long looked, replaced;
static void* volatile lost;

static long system_call(const greg_t* regs) {
  register long r10 __asm__("r10") = regs[REG_R10];
  register long r8 __asm__("r8") = regs[REG_R8];
  register long r9 __asm__("r9") = regs[REG_R9];
  long result = regs[REG_RAX];
  __asm__ volatile("syscall"
                   : "+a"(result)
                   : "D"(regs[REG_RDI]), "S"(regs[REG_RSI]), "d"(regs[REG_RDX]), "r"(r10), "r"(r8),
                     "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

static void look(int number, siginfo_t* info, void* context) {
  (void)number;
  (void)info;
  lt_dispatch = 0;
  ++looked;
  if (*lt_slot != lt_expected) ++replaced;
  greg_t* regs = ((ucontext_t*)context)->uc_mcontext.gregs;
  regs[REG_RAX] = system_call(regs);
}

SITE static void leak_and_look(void) {
  void* block = NULL;
  __asm__ volatile(
      "mov %%rsp, %%rbx\n"
      "sub $256, %%rsp\n" /* this function's red zone */
      "and $-16, %%rsp\n"
      "lea -8(%%rsp), %%rcx\n"
      "mov %%rcx, lt_slot(%%rip)\n"
      "lea 1f(%%rip), %%rcx\n"
      "mov %%rcx, lt_expected(%%rip)\n"
      "mov $0x100000, %%edi\n"
      "movb $1, lt_dispatch(%%rip)\n"
      "call *%[function]\n"
      "1: movb $0, lt_dispatch(%%rip)\n"
      "mov %%rbx, %%rsp\n"
      : "=a"(block)
      : [function] "r"(malloc)
      : "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc", "xmm0", "xmm1",
        "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
        "xmm13", "xmm14", "xmm15");
  lost = block;
}

int main(int argc, char** argv) {
  const struct testprog self = testprog_begin(argc, argv, 200);
  lost = malloc(1);
  free(lost);
  struct sigaction action = {.sa_sigaction = look, .sa_flags = SA_SIGINFO};
  if (sigaction(SIGSYS, &action, NULL) != 0) return 1;
  if (prctl(kSetDispatch, kDispatchOn, 0, 0, &lt_dispatch) != 0) return 1;
  for (unsigned long i = 0; i < self.count; ++i) leak_and_look();
  char line[64];
  say(line, (size_t)snprintf(line, sizeof line, "looked %lu replaced %lu\n", looked, replaced));
  say_leaked("leak_and_look", self.count, self.count << 20);
  return testprog_end(&self);
}
