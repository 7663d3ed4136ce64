// SPDX-License-Identifier: Apache-2.0
// Frames of the kinds that arm64 code has: leaves, saved pairs, a big frame, a moving stack.
void sink(void*);
int source(int);

int leaf(int a) {
  return a * 3;
}

int pair(int a) {
  return source(a) + source(a + 1);
}

int many_registers(int a, int b, int c, int d, int e, int f) {
  int g = source(a), h = source(b), i = source(c), j = source(d);
  return source(g + e) * h + source(i + f) * j + g * i;
}

int big(void) {
  char bytes[1 << 20];
  sink(bytes);
  return bytes[17];
}

int moving(int n) {
  char* bytes = __builtin_alloca((unsigned long)n);
  sink(bytes);
  return bytes[n - 1];
}

int chain(int n) {
  return n ? chain(n - 1) + pair(n) : 0;
}
