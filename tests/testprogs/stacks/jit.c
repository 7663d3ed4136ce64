/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machine code that is made at run time, in memory of no file, without unwind information. With
 * frame pointers a stack can be followed through it; without, it must be cut there, whatever the
 * frame pointer's register holds by chance.
 */
#include <sys/mman.h>

#include "stack_truth.h"

#ifndef __x86_64__
#error "the machine code is x86's"
#endif

#define CODE_BYTES 4096
#define JIT_LEAKER(name, size)                                       \
  SITE void name(unsigned long count) {                              \
    for (unsigned long i = 0; i < count; ++i) kept = malloc((size)); \
    say_leaked(#name, count, count*(size));                          \
  }

JIT_LEAKER(leak_warming_up, 24)
JIT_LEAKER(leak_with_fp, 40)
JIT_LEAKER(leak_with_fp_nested, 56)
JIT_LEAKER(leak_fp_zero, 72)
JIT_LEAKER(leak_fp_number, 88)
JIT_LEAKER(leak_fp_heap, 104)
JIT_LEAKER(leak_fp_stack, 120)
#define DIRECT_SIZE 136

typedef void (*jit_function)(unsigned long);

static unsigned char* code;
static size_t used;

static void put(const void* bytes, size_t size) {
  memcpy(code + used, bytes, size);
  used += size;
}

static jit_function begin(void) {
  jit_function function;
  used = (used + 15) & ~(size_t)15;
  void* at = code + used;
  memcpy(&function, &at, sizeof function);
  return function;
}

static void put_call(uintptr_t target) {
  put("\x48\xb8", 2); /* mov $target, %rax */
  put(&target, 8);
  put("\xff\xd0", 2); /* call *%rax */
}

/* A function that passes its argument on to `target`. */
static jit_function make_with_frame_pointer(jit_function target) {
  const jit_function made = begin();
  put("\x55\x48\x89\xe5", 4); /* push %rbp; mov %rsp, %rbp */
  put_call((uintptr_t)target);
  put("\x5d\xc3", 2); /* pop %rbp; ret */
  return made;
}

static jit_function make_without_frame_pointer(jit_function target) {
  const jit_function made = begin();
  put("\x48\x83\xec\x18", 4); /* sub $24, %rsp */
  put_call((uintptr_t)target);
  put("\x48\x83\xc4\x18\xc3", 5); /* add $24, %rsp; ret */
  return made;
}

/* A function that calls malloc itself. */
static jit_function make_malloc_call(void) {
  const jit_function made = begin();
  const int size = DIRECT_SIZE;
  put("\x55\x48\x89\xe5\xbf", 5); /* push %rbp; mov %rsp, %rbp; mov $size, %edi */
  put(&size, 4);
  put_call((uintptr_t)malloc);
  put("\x5d\xc3", 2); /* pop %rbp; ret */
  return made;
}

/* call_with(function, argument, value): calls with `value` where a frame pointer would be. */
void call_with(jit_function function, unsigned long argument, uintptr_t value);
__asm__(
    ".text\n.type call_with, @function\ncall_with:\n"
    ".cfi_startproc\n"
    "pushq %rbp\n.cfi_def_cfa_offset 16\n.cfi_offset %rbp, -16\n"
    "movq %rdx, %rbp\n"
    "movq %rdi, %rax\n"
    "movq %rsi, %rdi\n"
    "call *%rax\n"
    "popq %rbp\n.cfi_def_cfa_offset 8\n.cfi_restore %rbp\n"
    "ret\n"
    ".cfi_endproc\n.size call_with, . - call_with\n");

static SITE void run_with_fp(jit_function function, unsigned long count) {
  call_with(function, count, 12345);
}

static SITE void run_direct(jit_function function, unsigned long count) {
  for (unsigned long i = 0; i < count; ++i) call_with(function, 0, 12345);
  say_leaked("run_direct", count, count * DIRECT_SIZE);
}

static SITE void run_without_fp(jit_function function, unsigned long count, uintptr_t value) {
  call_with(function, count, value);
}

int main(int argc, char** argv) {
  struct testprog self = testprog_begin(argc, argv, 10);
  code = mmap(NULL, CODE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (code == MAP_FAILED) return 1;
  const jit_function warm = make_with_frame_pointer(leak_warming_up);
  const jit_function with = make_with_frame_pointer(leak_with_fp);
  const jit_function nested = make_with_frame_pointer(make_with_frame_pointer(leak_with_fp_nested));
  const jit_function direct = make_malloc_call();
  const jit_function zero = make_without_frame_pointer(leak_fp_zero);
  const jit_function number = make_without_frame_pointer(leak_fp_number);
  const jit_function heap = make_without_frame_pointer(leak_fp_heap);
  const jit_function stack = make_without_frame_pointer(leak_fp_stack);
  if (mprotect(code, CODE_BYTES, PROT_READ | PROT_EXEC) != 0) return 1;

  /* Of new code leaktrace hears by the first stack that leads into it. */
  run_with_fp(warm, 1);
  usleep(300000);

  const unsigned long count = self.count;
  volatile uintptr_t words[4] = {0, (uintptr_t)&words[2], 99, 7};
  run_with_fp(with, count);
  run_with_fp(nested, count);
  run_direct(direct, count);
  run_without_fp(zero, count, 0);
  run_without_fp(number, count, 12345);
  run_without_fp(heap, count, (uintptr_t)kept);
  run_without_fp(stack, count, (uintptr_t)&words[0]);
  return testprog_end(&self);
}
