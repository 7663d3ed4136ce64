/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hot_patch FUNCTION: replaces the first bytes of a function of libc (valloc or free) in its own
 * memory by a jump to one of its own, as hot patches and inline hooks do. Then, each 5 ms until
 * SIGTERM, it leaks 1 KiB of malloc and calls the function. It says how often it called it and how
 * often it came to the replacement, "calls N" and "replaced N", at its end, which comes by itself
 * after five minutes.
 */
#include <dlfcn.h>
#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>

#include "testprog.h"

enum { kSize = 1024, kTicks = 5 * 60 * 200 };

static void* volatile lost;
static volatile unsigned long replaced;
static char page[4096] __attribute__((aligned(4096)));

SITE void* leak_tick(void) {
  return malloc(kSize);
}

SITE void* new_valloc(size_t size) {
  (void)size;
  ++replaced;
  return page;
}

SITE void new_free(void* block) {
  (void)block;
  ++replaced;
}

static void patch(void* function, const void* target) {
#if defined(__x86_64__)
  /* jmp *0(%rip), and the address behind it. */
  const unsigned char jump[] = {0xff, 0x25, 0, 0, 0, 0};
#else
  /* ldr x16, #8; br x16, and the address behind them. */
  const unsigned char jump[] = {0x50, 0, 0, 0x58, 0, 0x02, 0x1f, 0xd6};
#endif
  const uintptr_t start = (uintptr_t)function & ~(uintptr_t)4095;
  if (mprotect((void*)start, 8192, PROT_READ | PROT_WRITE | PROT_EXEC) != 0) _exit(1);
  memcpy(function, jump, sizeof jump);
  memcpy((char*)function + sizeof jump, &target, sizeof target);
  __builtin___clear_cache((char*)function, (char*)function + 32);
  if (mprotect((void*)start, 8192, PROT_READ | PROT_EXEC) != 0) _exit(1);
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const int frees = strcmp(argv[1], "free") == 0;
  void* (*const valloc_function)(size_t) = (void* (*)(size_t))dlsym(RTLD_DEFAULT, "valloc");
  void (*const free_function)(void*) = (void (*)(void*))dlsym(RTLD_DEFAULT, "free");
  if (!valloc_function || !free_function) return 1;
  if (frees) {
    patch((void*)free_function, (const void*)new_free);
  } else {
    patch((void*)valloc_function, (const void*)new_valloc);
  }
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigprocmask(SIG_BLOCK, &set, NULL);
  say_pid("running");
  const struct timespec pause = {0, 5 * 1000 * 1000};
  unsigned long calls = 0;
  do {
    lost = leak_tick();
    if (frees) {
      free_function(lost);
    } else {
      lost = valloc_function(kSize);
    }
    ++calls;
  } while (calls < kTicks && sigtimedwait(&set, NULL, &pause) != SIGTERM);
  char line[64];
  say(line, (size_t)snprintf(line, sizeof line, "calls %lu\nreplaced %lu\n", calls, replaced));
  return 0;
}
