/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin of leak_dlopen: it has a malloc wrapper of its own. */
#include <stdlib.h>

static void* volatile lost;

static __attribute__((noipa)) void* plugin_malloc(size_t size) {
  void* block = malloc(size);
  if (block == NULL) abort();
  return block;
}

static __attribute__((noipa)) void* plugin_leaks(void) {
  return plugin_malloc(96);
}
static __attribute__((noipa)) void* plugin_frees(void) {
  return plugin_malloc(64);
}

void plugin_work(unsigned long count) {
  for (unsigned long i = 0; i < count; ++i) {
    lost = plugin_leaks();
    free(plugin_frees());
  }
}
