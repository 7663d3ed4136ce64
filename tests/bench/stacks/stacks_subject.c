/* SPDX-License-Identifier: Apache-2.0 */
/* stacks_subject DEPTH [TOUCH]: calls probe_point() under DEPTH frames of mixed sizes, again and
 * again until its parent is gone. TOUCH: bytes of other memory that it goes through before each
 * call, as a program does that works between its allocations. */
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

static volatile int sink;
static volatile char* other;
static size_t other_bytes;

__attribute__((noinline)) void probe_point(int value) {
  sink = sink + value;
}

typedef int Descend(int);
static Descend descend_small, descend_medium, descend_large;

/* Two thirds of the frames are small, as in real programs. */
static Descend* const volatile next[] = {descend_small, descend_small, descend_medium,
                                         descend_small, descend_small, descend_large};

#define DESCEND(name, bytes)                                             \
  static __attribute__((noinline)) int name(int left) {                  \
    volatile char local[bytes];                                          \
    local[0] = (char)left;                                               \
    if (left == 0) {                                                     \
      for (size_t i = 0; i < other_bytes; i += 64) other[i] = 1;         \
      probe_point(1);                                                    \
    } else {                                                             \
      sink = sink + next[left % (sizeof next / sizeof *next)](left - 1); \
    }                                                                    \
    return local[0];                                                     \
  }

DESCEND(descend_small, 16)
DESCEND(descend_medium, 120)
DESCEND(descend_large, 700)

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const int depth = atoi(argv[1]);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (argc > 2) {
    other_bytes = strtoul(argv[2], NULL, 10);
    other = malloc(other_bytes);
    if (!other) return 1;
  }
  for (;;) sink = sink + descend_small(depth);
}
