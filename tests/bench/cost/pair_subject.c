/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pair_subject [--frames N] [--size BYTES]: pairs of malloc and free, from stacks of N frames (16).
 *
 *   run THREADS MS       as fast as it goes        -> ran PAIRS WALL_NS CPU_NS
 *   pace THREADS MS RATE RATE pairs a second       -> ran PAIRS WALL_NS CPU_NS
 *   sites COUNT          pairs come from so many call sites in turn (1)      -> ok
 *   hold COUNT           hold so many blocks; a pair then frees one at random and allocates its
 *                        successor                                           -> held COUNT
 *   open FILE            load a library                                      -> ok
 *
 * THREADS are new ones each time. CPU_NS is what the whole process used meanwhile, the kernel's
 * part included.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <sys/mman.h>

#include "subject.h"

enum {
  kFramesAround = 4, /* allocation site, worker, start_thread, clone */
  kMostLevels = 100,
  kBatch = 64,
  kPaceNs = 1000000,
};

static struct {
  int levels; /* of calls between worker and allocation */
  size_t size;
  uint64_t sites;
  void** held;
  uint64_t holds;
  uint64_t room;
} self = {12, 64, 1, NULL, 0, 0};

struct worker {
  _Alignas(64) pthread_t thread;
  int number;
  int threads;
  uint64_t rate; /* pairs a second of this thread; 0: as fast as it goes */
  uint64_t pairs;
  uint64_t random;
};

static atomic_bool stop_now;
static void* volatile sink;

/* The block must be seen to be used, or the pair is optimized away. */
static inline void* take(void) {
  void* block = malloc(self.size);
  if (!block) give_up("no memory");
  __asm__ volatile("" : : "r"(block) : "memory");
  return block;
}

static void replace_one(struct worker* worker) {
  const uint64_t share = self.holds / (uint64_t)worker->threads;
  const uint64_t place =
      (uint64_t)worker->number * share + next_random(&worker->random) % (share ? share : 1);
  free(self.held[place]);
  self.held[place] = take();
}

SITE static void do_pairs(struct worker* worker, uint64_t count) {
  if (self.holds) {
    for (uint64_t i = 0; i < count; ++i) replace_one(worker);
  } else {
    for (uint64_t i = 0; i < count; ++i) free(take());
  }
  worker->pairs += count;
}

SITE static void go_left(struct worker* worker, uint64_t path, int levels, uint64_t count);
SITE static void go_right(struct worker* worker, uint64_t path, int levels, uint64_t count);

/* The bits of `path` choose the way down: 2^levels call sites at most. */
static inline void descend(struct worker* worker, uint64_t path, int levels, uint64_t count) {
  if (levels == 0) {
    do_pairs(worker, count);
  } else if (path & 1) {
    go_right(worker, path >> 1, levels - 1, count);
  } else {
    go_left(worker, path >> 1, levels - 1, count);
  }
}

/* There is more to do after the call, or the compiler would make it a jump. */
SITE static void go_left(struct worker* worker, uint64_t path, int levels, uint64_t count) {
  descend(worker, path, levels, count);
  sink = worker;
}

SITE static void go_right(struct worker* worker, uint64_t path, int levels, uint64_t count) {
  descend(worker, path, levels, count);
  sink = worker;
}

static void do_some(struct worker* worker, uint64_t count) {
  if (self.sites == 1) {
    descend(worker, 0, self.levels, count);
    return;
  }
  for (uint64_t i = 0; i < count; ++i) descend(worker, worker->pairs % self.sites, self.levels, 1);
}

static void do_paced(struct worker* worker, uint64_t begin) {
  uint64_t slice = 0;
  while (!atomic_load_explicit(&stop_now, memory_order_relaxed)) {
    ++slice;
    const uint64_t due = slice * kPaceNs / 1000 * worker->rate / 1000000;
    while (worker->pairs < due && !atomic_load_explicit(&stop_now, memory_order_relaxed)) {
      do_some(worker, due - worker->pairs < kBatch ? due - worker->pairs : kBatch);
    }
    sleep_until(begin + slice * kPaceNs);
  }
}

SITE static void* work(void* argument) {
  struct worker* worker = argument;
  if (worker->rate) {
    do_paced(worker, clock_ns(CLOCK_MONOTONIC));
  } else {
    while (!atomic_load_explicit(&stop_now, memory_order_relaxed)) do_some(worker, kBatch);
  }
  sink = worker;
  return NULL;
}

static void run(int threads, uint64_t milliseconds, uint64_t rate) {
  static struct worker workers[kMostThreads];
  if (threads < 1 || threads > kMostThreads) give_up("1 to 64 threads");
  const uint64_t cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
  const uint64_t begin = clock_ns(CLOCK_MONOTONIC);
  atomic_store(&stop_now, 0);
  for (int i = 0; i < threads; ++i) {
    const struct worker worker = {.number = i,
                                  .threads = threads,
                                  .rate = rate / (uint64_t)threads,
                                  .random = begin + (uint64_t)i + 1};
    workers[i] = worker;
    if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) give_up("no thread");
  }
  sleep_until(begin + milliseconds * 1000000U);
  atomic_store(&stop_now, 1);
  uint64_t pairs = 0;
  for (int i = 0; i < threads; ++i) {
    pthread_join(workers[i].thread, NULL);
    pairs += workers[i].pairs;
  }
  printf("ran %lu %lu %lu\n", pairs, clock_ns(CLOCK_MONOTONIC) - begin,
         clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu);
}

/* Room is reserved once, by mmap, so that growing does not show up as a block of its own. */
static void hold(uint64_t count) {
  const uint64_t room = 16U << 20;
  if (!self.held) {
    self.held = mmap(NULL, room * sizeof *self.held, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (self.held == MAP_FAILED) give_up("no address space");
    self.room = room;
  }
  if (count > self.room) give_up("at most 16777216 blocks");
  while (self.holds < count) self.held[self.holds++] = take();
  while (self.holds > count) free(self.held[--self.holds]);
  printf("held %lu\n", self.holds);
}

static void obey(char* line) {
  char* words = NULL;
  const char* verb = strtok_r(line, " \n", &words);
  uint64_t number[3] = {0, 0, 0};
  if (!verb) return;
  if (strcmp(verb, "open") == 0) {
    const char* file = strtok_r(NULL, "\n", &words);
    if (!file || !dlopen(file, RTLD_NOW | RTLD_LOCAL)) give_up(dlerror());
    puts("ok");
    return;
  }
  for (int i = 0; i < 3; ++i) {
    const char* word = strtok_r(NULL, " \n", &words);
    if (word) number[i] = strtoull(word, NULL, 10);
  }
  if (strcmp(verb, "run") == 0) {
    run((int)number[0], number[1], 0);
  } else if (strcmp(verb, "pace") == 0) {
    run((int)number[0], number[1], number[2]);
  } else if (strcmp(verb, "hold") == 0) {
    hold(number[0]);
  } else if (strcmp(verb, "sites") == 0 && number[0] > 0) {
    self.sites = number[0];
    puts("ok");
  } else {
    give_up("what is that?");
  }
}

int main(int argc, char** argv) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const long value = strtol(argv[i + 1], NULL, 10);
    if (strcmp(argv[i], "--frames") == 0 && value >= kFramesAround) {
      self.levels = (int)value - kFramesAround;
    } else if (strcmp(argv[i], "--size") == 0 && value > 0) {
      self.size = (size_t)value;
    } else {
      give_up("usage: pair_subject [--frames N] [--size BYTES]");
    }
  }
  if (self.levels > kMostLevels) give_up("at most 104 frames");
  setvbuf(stdout, NULL, _IOLBF, 0);
  printf("ready %d\n", (int)getpid());
  char line[512];
  while (fgets(line, sizeof line, stdin)) obey(line);
  return 0;
}
