/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request_subject: a server without a network. Each request computes for some tens of microseconds
 * and allocates eight blocks, which it frees; a small cache keeps pages; and of all
 * bytes that are allocated, one in a hundred leaks at keep_for_ever().
 *
 *   run THREADS MS  as many requests as it can  -> ran REQUESTS WALL_NS CPU_NS P99_NS LEAKED_BYTES
 *
 * LEAKED_BYTES are those since the subject began.
 */
#include <pthread.h>

#include "subject.h"

enum {
  kBlocks = 8,
  kCachePages = 32,
  kLeakedSize = 400,
  kLeakedShare = 100, /* one byte in so many */
  kRounds = 18000,    /* of computing a request */
  kLatencyClasses = 64 * 16,
};

struct server {
  _Alignas(64) pthread_t thread;
  uint64_t random;
  uint64_t requests;
  uint64_t allocated;
  uint64_t leaked;
  void* cache[kCachePages];
  uint32_t latencies[kLatencyClasses];
};

static struct server servers[kMostThreads];
static atomic_bool stop_now;
static void* volatile lost;

static void* take(struct server* server, size_t size) {
  char* block = malloc(size);
  if (!block) give_up("no memory");
  block[0] = (char)size;
  __asm__ volatile("" : : "r"(block) : "memory");
  server->allocated += size;
  return block;
}

SITE static void* parse_header(struct server* server) {
  return take(server, 24 + next_random(&server->random) % 64);
}

SITE static void* read_body(struct server* server) {
  return take(server, 128 + next_random(&server->random) % 1024);
}

SITE static void* render_part(struct server* server) {
  return take(server, 64 + next_random(&server->random) % 512);
}

SITE static void* render_page(struct server* server) {
  return take(server, 1024 + next_random(&server->random) % 2048);
}

SITE static void keep_for_ever(struct server* server) {
  lost = take(server, kLeakedSize);
  server->leaked += kLeakedSize;
}

SITE static void store_page(struct server* server) {
  void** place = &server->cache[next_random(&server->random) % kCachePages];
  free(*place);
  *place = render_page(server);
}

SITE static uint64_t compute(struct server* server) {
  uint64_t state = server->random;
  for (int i = 0; i < kRounds; ++i) state = state * 6364136223846793005ULL + 1442695040888963407ULL;
  return state;
}

SITE static void answer(struct server* server) {
  void* blocks[kBlocks - 1];
  blocks[0] = parse_header(server);
  blocks[1] = parse_header(server);
  blocks[2] = read_body(server);
  for (int i = 3; i < kBlocks - 1; ++i) blocks[i] = render_part(server);
  store_page(server);
  if (server->leaked * kLeakedShare < server->allocated) keep_for_ever(server);
  server->random ^= compute(server) >> 63;
  for (int i = 0; i < kBlocks - 1; ++i) free(blocks[i]);
}

/* Sixteen classes a power of two. */
static int class_of(uint64_t ns) {
  if (ns < 16) return (int)ns;
  const int top = 63 - __builtin_clzll(ns);
  return (top - 3) * 16 + (int)(ns >> (top - 4) & 15);
}

static uint64_t class_begin(int number) {
  if (number < 16) return (uint64_t)number;
  return (16ULL + (uint64_t)number % 16) << (number / 16 - 1);
}

static uint64_t percentile_99(int threads, uint64_t requests) {
  uint64_t above = 0;
  for (int number = kLatencyClasses - 1; number > 0; --number) {
    for (int i = 0; i < threads; ++i) above += servers[i].latencies[number];
    if (above * 100 > requests) return class_begin(number);
  }
  return 0;
}

SITE static void* serve(void* argument) {
  struct server* server = argument;
  while (!atomic_load_explicit(&stop_now, memory_order_relaxed)) {
    const uint64_t begin = clock_ns(CLOCK_MONOTONIC);
    answer(server);
    ++server->latencies[class_of(clock_ns(CLOCK_MONOTONIC) - begin)];
    ++server->requests;
  }
  lost = server;
  return NULL;
}

static void run(int threads, uint64_t milliseconds) {
  if (threads < 1 || threads > kMostThreads) give_up("1 to 64 threads");
  const uint64_t cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
  const uint64_t begin = clock_ns(CLOCK_MONOTONIC);
  atomic_store(&stop_now, 0);
  for (int i = 0; i < threads; ++i) {
    servers[i].random = begin + (uint64_t)i + 1;
    servers[i].requests = 0;
    memset(servers[i].latencies, 0, sizeof servers[i].latencies);
    if (pthread_create(&servers[i].thread, NULL, serve, &servers[i]) != 0) give_up("no thread");
  }
  sleep_until(begin + milliseconds * 1000000U);
  atomic_store(&stop_now, 1);
  uint64_t requests = 0;
  uint64_t leaked = 0;
  for (int i = 0; i < threads; ++i) {
    pthread_join(servers[i].thread, NULL);
    requests += servers[i].requests;
    leaked += servers[i].leaked;
  }
  printf("ran %lu %lu %lu %lu %lu\n", requests, clock_ns(CLOCK_MONOTONIC) - begin,
         clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu, percentile_99(threads, requests), leaked);
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  printf("ready %d\n", (int)getpid());
  char line[512];
  while (fgets(line, sizeof line, stdin)) {
    int threads = 0;
    unsigned long milliseconds = 0;
    if (sscanf(line, "run %d %lu", &threads, &milliseconds) != 2) give_up("what is that?");
    run(threads, milliseconds);
  }
  return 0;
}
