/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the small leakers share. Each takes [--wait] [--linger] [COUNT]: --wait prints "ready PID"
 * and begins at SIGUSR1; --linger prints "done PID" at the end and stays until SIGTERM. Each says
 * on stdout what it has leaked, one "leaked FUNCTION COUNT BYTES" a line, so that a test knows the
 * truth. Output is by write(2): stdio would allocate.
 */
#ifndef TESTPROG_H
#define TESTPROG_H

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A function that keeps its own frame: not inlined, not cloned, not merged with its twin. */
#define SITE __attribute__((noipa))

struct testprog {
  unsigned long count;
  int linger;
};

static inline void say(const char* text, size_t size) {
  if (write(STDOUT_FILENO, text, size) < 0) _exit(1);
}

static inline void say_leaked(const char* function, unsigned long count, unsigned long bytes) {
  char line[160];
  int size = snprintf(line, sizeof line, "leaked %s %lu %lu\n", function, count, bytes);
  say(line, (size_t)size);
}

static inline void say_pid(const char* word) {
  char line[64];
  int size = snprintf(line, sizeof line, "%s %d\n", word, (int)getpid());
  say(line, (size_t)size);
}

static inline void await_signal(int number) {
  sigset_t set;
  int got = 0;
  sigemptyset(&set);
  sigaddset(&set, number);
  while (sigwait(&set, &got) != 0) {
  }
}

/* Reads the arguments and, with --wait, waits. */
static inline struct testprog testprog_begin(int argc, char** argv, unsigned long count) {
  struct testprog self = {count, 0};
  int wait = 0;
  for (int i = 1; i < argc; ++i) {
    if (strcmp(argv[i], "--wait") == 0) {
      wait = 1;
    } else if (strcmp(argv[i], "--linger") == 0) {
      self.linger = 1;
    } else {
      self.count = strtoul(argv[i], NULL, 10);
    }
  }
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  if (self.linger) sigaddset(&set, SIGTERM);
  sigprocmask(SIG_BLOCK, &set, NULL);
  if (wait) {
    say_pid("ready");
    await_signal(SIGUSR1);
  }
  return self;
}

static inline int testprog_end(const struct testprog* self) {
  if (self->linger) {
    say_pid("done");
    await_signal(SIGTERM);
  }
  return 0;
}

#endif
