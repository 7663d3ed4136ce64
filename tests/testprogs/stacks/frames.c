/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of every shape that a compiler makes, none with a frame pointer unless it must. */
#include <alloca.h>
#include <pthread.h>
#include <setjmp.h>

#include "stack_truth.h"

LEAKER(leak_plain, 24)
LEAKER(leak_alloca, 40)
LEAKER(leak_vla, 56)
LEAKER(leak_realigned, 72)
LEAKER(leak_realigned_arguments, 88)
LEAKER(leak_realigned_alloca, 104)
LEAKER(leak_big_frame, 120)
LEAKER(leak_noreturn, 136)
LEAKER(leak_callback, 152)
LEAKER(leak_thread, 168)
LEAKER(leak_inlined, 184)

static SITE void use(volatile char* bytes, size_t size) {
  for (size_t i = 0; i < size; i += 64) bytes[i] = 1;
}

/* ---- Arguments on the stack, and every register that a callee must save ------------------------
 */

static SITE long plain_inner(long a, long b, long c, long d, long e, long f, long g, long h) {
  const long before = a * 3 + b * 5 + c * 7 + d * 11;
  leak_plain((unsigned long)a);
  return before + a * b + c * d + e * f + g * h;
}

static SITE long plain_outer(long count) {
  const long first = plain_inner(count, 2, 3, 4, 5, 6, 7, 8);
  return first + count;
}

/* ---- Stack that is taken at run time -----------------------------------------------------------
 */

static SITE void with_alloca(unsigned long count) {
  char* bytes = (char*)alloca(count * 16 + 100);
  use(bytes, count * 16);
  leak_alloca(count);
  use(bytes, count * 16);
}

static SITE void with_vla(unsigned long count) {
  for (unsigned long size = count; size < count + 3; ++size) {
    char bytes[size * 32];
    use(bytes, size * 32);
    if (size == count + 2) leak_vla(count);
    use(bytes, size * 32);
  }
}

/* ---- Realigned stacks --------------------------------------------------------------------------
 */

static SITE void realigned(unsigned long count) {
  _Alignas(128) char bytes[256];
  use(bytes, sizeof bytes);
  leak_realigned(count);
  use(bytes, sizeof bytes);
}

static SITE long realigned_arguments(unsigned long count, long b, long c, long d, long e, long f,
                                     long g, long h) {
  _Alignas(64) char bytes[128];
  use(bytes, sizeof bytes);
  leak_realigned_arguments(count);
  use(bytes, sizeof bytes);
  return b + c + d + e + f + g + h + bytes[0];
}

static SITE long realigned_alloca(unsigned long count, long b, long c, long d, long e, long f,
                                  long g, long h) {
  _Alignas(64) char bytes[128];
  char* more = (char*)alloca(count * 48 + 80);
  use(bytes, sizeof bytes);
  use(more, count * 48);
  leak_realigned_alloca(count);
  use(more, count * 48);
  return b + c + d + e + f + g + h + bytes[0];
}

/* ---- A frame that no short offset reaches across -----------------------------------------------
 */

static SITE void big_frame(unsigned long count) {
  char bytes[600 * 1024];
  use(bytes, sizeof bytes);
  leak_big_frame(count);
  use(bytes, sizeof bytes);
}

/* ---- A call that is the last instruction: its return address is in the next function -----------
 */

static jmp_buf home;

static SITE __attribute__((noreturn)) void give_up(unsigned long count) {
  leak_noreturn(count);
  longjmp(home, 1);
}

static SITE __attribute__((noreturn)) void ends_in_a_call(unsigned long count) {
  give_up(count);
}

static SITE void noreturn_call(unsigned long count) {
  if (setjmp(home) == 0) ends_in_a_call(count);
}

/* ---- Through the C library and back ------------------------------------------------------------
 */

static unsigned long callback_count;

static SITE int compare(const void* a, const void* b) {
  leak_callback(callback_count);
  return *(const int*)a - *(const int*)b;
}

static SITE void sort(unsigned long count) {
  int numbers[2] = {2, 1};
  callback_count = count;
  qsort(numbers, 2, sizeof numbers[0], compare);
  use((volatile char*)numbers, sizeof numbers);
}

/* ---- A thread ----------------------------------------------------------------------------------
 */

static SITE void* thread_body(void* count) {
  leak_thread(*(unsigned long*)count);
  return NULL;
}

static SITE void run_thread(unsigned long count) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, thread_body, &count) != 0) abort();
  pthread_join(thread, NULL);
}

/* ---- Functions that are in another's code ------------------------------------------------------
 */

static inline __attribute__((always_inline)) void inlined_inner(unsigned long count) {
  leak_inlined(count); /* line: inlined_inner */
}

static inline __attribute__((always_inline)) void inlined_outer(unsigned long count) {
  inlined_inner(count + 1 - 1); /* line: inlined_outer */
}

static SITE void has_inlined(unsigned long count) {
  inlined_outer(count); /* line: has_inlined */
}

int main(int argc, char** argv) {
  struct testprog self = testprog_begin(argc, argv, 20);
  const unsigned long count = self.count;
  plain_outer((long)count);
  with_alloca(count);
  with_vla(count);
  realigned(count);
  realigned_arguments(count, 1, 2, 3, 4, 5, 6, 7);
  realigned_alloca(count, 1, 2, 3, 4, 5, 6, 7);
  big_frame(count);
  noreturn_call(count);
  sort(count);
  run_thread(count);
  has_inlined(count); /* line: main inlined */
  return testprog_end(&self);
}
