// SPDX-License-Identifier: Apache-2.0
// lazy_binding PROVIDER CALLER: the caller's first call is bound by the dynamic linker, which
// finds it in a library that the caller does not depend on and notes that (add_dependency in
// glibc's elf/dl-lookup.c), in memory from malloc. That malloc has the lazy-binding trampoline in
// its stack.
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  void* provider = dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL);
  void* caller = provider != NULL ? dlopen(argv[2], RTLD_LAZY | RTLD_LOCAL) : NULL;
  int (*calls_lazily)(int) = NULL;
  if (caller != NULL) *(void**)&calls_lazily = dlsym(caller, "calls_lazily");
  if (calls_lazily == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  return calls_lazily(7) == 0 ? 1 : 0;
}
