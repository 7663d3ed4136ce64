/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An allocator to be preloaded in front of glibc's: size classes of powers of two, carved from an
 * arena and kept in free lists under one lock. Before each block stands its size class:
 *
 *   | class (16 bytes) | block ...                    |
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

enum { kHeader = 16, kClasses = 48, kFirstClass = 5, kArena = 1 << 24 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char* free_lists[kClasses];
static char* arena;
static size_t arena_left;

static char* map_bytes(size_t size) {
  void* got = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return got == MAP_FAILED ? NULL : got;
}

static unsigned class_of(size_t size) {
  unsigned class = kFirstClass;
  while (((size_t)1 << class) < size + kHeader) ++class;
  return class;
}

/* A chunk of 2^class bytes, with the lock held. */
static char* take_chunk(unsigned class) {
  char* chunk = free_lists[class];
  if (chunk != NULL) {
    memcpy(&free_lists[class], chunk + kHeader, sizeof chunk);
    return chunk;
  }
  const size_t size = (size_t)1 << class;
  if (size > kArena / 2) return map_bytes(size);
  if (arena_left < size) {
    arena = map_bytes(kArena);
    arena_left = arena == NULL ? 0 : kArena;
    if (arena == NULL) return NULL;
  }
  chunk = arena;
  arena += size;
  arena_left -= size;
  return chunk;
}

__attribute__((noinline)) void* malloc(size_t size) {
  if (size > PTRDIFF_MAX / 2) {
    errno = ENOMEM;
    return NULL;
  }
  const unsigned class = class_of(size);
  pthread_mutex_lock(&lock);
  char* chunk = take_chunk(class);
  pthread_mutex_unlock(&lock);
  if (chunk == NULL) {
    errno = ENOMEM;
    return NULL;
  }
  memcpy(chunk, &class, sizeof class);
  return chunk + kHeader;
}

__attribute__((noinline)) void free(void* block) {
  if (block == NULL) return;
  char* chunk = (char*)block - kHeader;
  unsigned class = 0;
  memcpy(&class, chunk, sizeof class);
  pthread_mutex_lock(&lock);
  memcpy(chunk + kHeader, &free_lists[class], sizeof chunk);
  free_lists[class] = chunk;
  pthread_mutex_unlock(&lock);
}

void* calloc(size_t count, size_t size) {
  size_t bytes = 0;
  if (__builtin_mul_overflow(count, size, &bytes)) {
    errno = ENOMEM;
    return NULL;
  }
  void* block = malloc(bytes);
  if (block != NULL) memset(block, 0, bytes);
  return block;
}

void* realloc(void* block, size_t size) {
  if (block == NULL) return malloc(size);
  if (size == 0) {
    free(block);
    return NULL;
  }
  unsigned class = 0;
  memcpy(&class, (char*)block - kHeader, sizeof class);
  const size_t room = ((size_t)1 << class) - kHeader;
  if (size <= room) return block;
  void* moved = malloc(size);
  if (moved == NULL) return NULL;
  memcpy(moved, block, room);
  free(block);
  return moved;
}
