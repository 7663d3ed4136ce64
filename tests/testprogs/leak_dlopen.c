/* SPDX-License-Identifier: Apache-2.0 */
/* Loads a plugin while running, from beside itself, and lets it leak COUNT blocks. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>

#include "testprog.h"

int main(int argc, char** argv) {
  struct testprog self = testprog_begin(argc, argv, 700);
  static char path[PATH_MAX];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
  if (size <= 0) return 1;
  char* folder = dirname(path);
  static char plugin_path[PATH_MAX + 32];
  snprintf(plugin_path, sizeof plugin_path, "%s/libleak_plugin.so", folder);
  void* plugin = dlopen(plugin_path, RTLD_NOW | RTLD_LOCAL);
  if (plugin == NULL) return 1;
  void (*work)(unsigned long) = NULL;
  *(void**)&work = dlsym(plugin, "plugin_work");
  if (work == NULL) return 1;
  usleep(300000); /* leaktrace hears of a new library a moment after it is there */
  work(self.count);
  say_leaked("plugin_leaks", self.count, self.count * 96);
  say_leaked("plugin_frees", 0, 0);
  return testprog_end(&self);
}
