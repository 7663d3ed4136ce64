// SPDX-License-Identifier: Apache-2.0
//
// Leaks by every way that allocates on a caller's behalf: what the report shows on top of it.
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "stack_truth.h"

struct Widget {
  char bytes[200];
};

SITE void leak_new() {
  kept = new Widget();
}
SITE void leak_new_array(std::size_t count) {
  kept = new Widget[count];
}
struct alignas(128) Aligned {
  char bytes[256];
};
SITE void leak_new_aligned() {
  kept = new Aligned();
}
SITE void leak_new_nothrow() {
  kept = new (std::nothrow) Widget();
}
SITE void leak_make_shared() {
  kept = new std::shared_ptr<Widget>(std::make_shared<Widget>());
}
SITE void leak_string_growth(const char* text) {
  auto* grown = new std::string();
  for (int i = 0; i < 100; ++i) grown->append(text);
  kept = grown;
}
SITE void leak_vector_growth(std::size_t count) {
  auto* grown = new std::vector<long>();
  for (std::size_t i = 0; i < count; ++i) grown->push_back(static_cast<long>(i));
  kept = grown;
}
SITE void leak_map_nodes(int count) {
  auto* map = new std::map<int, Widget>();
  for (int i = 0; i < count; ++i) (*map)[i] = Widget();
  kept = map;
}
SITE void leak_calloc(std::size_t count) {
  kept = calloc(count, 9);
}
SITE void leak_realloc(std::size_t size) {
  void* block = malloc(size);
  kept = realloc(block, size * 100);
}
SITE void leak_strdup(const char* text) {
  kept = strdup(text);
}
SITE void leak_asprintf(int number) {
  char* text = nullptr;
  if (asprintf(&text, "number %d of many", number) < 0) abort();
  kept = text;
}
SITE void leak_aligned_alloc(std::size_t alignment) {
  kept = aligned_alloc(alignment, 4 * alignment);
}
SITE void leak_posix_memalign(std::size_t alignment) {
  void* block = nullptr;
  if (posix_memalign(&block, alignment, 777) != 0) abort();
  kept = block;
}
SITE void leak_getline(FILE* from) {
  char* line = nullptr;
  std::size_t size = 0;
  if (getline(&line, &size, from) < 0) abort();
  kept = line;
}

int main(int argc, char** argv) {
  testprog self = testprog_begin(argc, argv, 5);
  for (unsigned long i = 0; i < self.count; ++i) {
    leak_new();
    leak_new_array(3);
    leak_new_aligned();
    leak_new_nothrow();
    leak_make_shared();
    leak_string_growth("twenty-one characters");
    leak_vector_growth(1000);
    leak_map_nodes(4);
    leak_calloc(33);
    leak_realloc(17);
    leak_strdup("a text that is copied");
    leak_asprintf(static_cast<int>(i) % 10);
    leak_aligned_alloc(512);
    leak_posix_memalign(1024);
    FILE* status = fopen("/proc/self/status", "r");
    if (status == nullptr) return 1;
    leak_getline(status);
    fclose(status);
  }
  return testprog_end(&self);
}
