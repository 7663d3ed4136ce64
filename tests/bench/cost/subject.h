/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the subjects of the benchmarks share: they obey lines on stdin and answer each with one line
 * on stdout, so that whoever measures can attach and detach between two lines. They end at end of
 * file, so none outlives the benchmark that started it.
 */
#ifndef LEAKTRACE_BENCH_SUBJECT_H
#define LEAKTRACE_BENCH_SUBJECT_H

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A function that keeps its own frame: not inlined, not cloned, not merged with its twin. */
#define SITE __attribute__((noipa))

enum { kMostThreads = 64 };

static inline uint64_t clock_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static inline void sleep_until(uint64_t monotonic_ns) {
  struct timespec when = {(time_t)(monotonic_ns / 1000000000U), (long)(monotonic_ns % 1000000000U)};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL) != 0) {
  }
}

/* Ends with the reason on stderr. */
_Noreturn static inline void give_up(const char* reason) {
  fprintf(stderr, "subject: %s\n", reason);
  exit(1);
}

/* xorshift64*: Marsaglia, "Xorshift RNGs" (2003). */
static inline uint64_t next_random(uint64_t* state) {
  *state ^= *state >> 12;
  *state ^= *state << 25;
  *state ^= *state >> 27;
  return *state * 0x2545f4914f6cdd1dULL;
}

#endif /* LEAKTRACE_BENCH_SUBJECT_H */
