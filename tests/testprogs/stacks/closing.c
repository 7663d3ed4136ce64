/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens a plugin, lets it leak, closes it, and goes on with the next, which the loader maps where
 * the one before was. "mapped NAME ADDRESS" tells where.
 *
 *   usage: stacks_closing [--wait] [--linger] NAME…
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>

#include "stack_truth.h"

static SITE void use_plugin(const char* folder, const char* name, unsigned long count) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/libstacks_plugin_%s.so", folder, name);
  void* plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (plugin == NULL) _exit(1);
  void (*work)(unsigned long) = NULL;
  *(void**)&work = dlsym(plugin, "plugin_work");
  Dl_info info;
  if (work == NULL || dladdr((void*)(uintptr_t)work, &info) == 0) _exit(1);
  char line[96];
  const int size = snprintf(line, sizeof line, "mapped %s %p\n", name, info.dli_fbase);
  say(line, (size_t)size);
  usleep(300000); /* leaktrace hears of a new library a moment after it is there */
  work(count);
  dlclose(plugin);
}

int main(int argc, char** argv) {
  struct testprog self = testprog_begin(argc, argv, 0);
  static char path[PATH_MAX];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
  if (size <= 0) return 1;
  const char* folder = dirname(path);
  for (int i = 1; i < argc; ++i) {
    if (argv[i][0] != '-') use_plugin(folder, argv[i], 50);
  }
  return testprog_end(&self);
}
