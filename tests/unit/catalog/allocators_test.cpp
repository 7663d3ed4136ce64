// SPDX-License-Identifier: Apache-2.0
#include "user/catalog/allocators.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "user/catalog/row.h"

namespace leaktrace::catalog {
namespace {

std::string_view family_of(std::string_view symbol) {
  const AllocatorFamily* family = allocator_family(symbol);
  return family == nullptr ? "" : family->name;
}

TEST(AllocatorFamilies, AreRecognizedByOneFunction) {
  for (const char* symbol : {"_rjem_malloc", "je_malloc", "_rjem_mallocx", "app_mallocx"}) {
    EXPECT_EQ(family_of(symbol), "jemalloc with a prefix") << symbol;
  }
  EXPECT_EQ(family_of("mi_malloc"), "mimalloc under its own names");
  EXPECT_EQ(family_of("scalable_malloc"), "oneTBB's scalable allocator");
  EXPECT_EQ(family_of("_emalloc"), "PHP's Zend memory manager");
  EXPECT_EQ(family_of("runtime.mallocgc"), "Go's heap");
}

TEST(AllocatorFamilies, AreNotSeenInFunctionsThatAreHookedOrAnotherThing) {
  for (const Row& row : memory_rows()) EXPECT_EQ(family_of(row.symbol), "") << row.symbol;
  for (const char* symbol : {"mallocx", "je_malloc_mutex_lock", "je_malloc_default",
                             "mi_mallocx_not", "xmalloc", "_PyMem_RawMalloc", "PyObject_Malloc",
                             "zmalloc", "ngx_palloc", "palloc", "g_malloc", "__libc_malloc", ""}) {
    EXPECT_EQ(family_of(symbol), "") << symbol;
  }
}

TEST(AllocatorFamilies, EachHasAnAdvice) {
  for (const AllocatorFamily& family : allocator_families()) EXPECT_FALSE(family.advice.empty());
  for (const Translator& one : translators()) EXPECT_FALSE(one.advice.empty());
}

TEST(Translators, AreRecognizedByWhatTheyMap) {
  for (const char* path :
       {"/usr/libexec/valgrind/vgpreload_core-amd64-linux.so",
        "/usr/libexec/valgrind/memcheck-amd64-linux", "/usr/lib/valgrind/none-arm64-linux",
        "/opt/vg/lib/valgrind/vgpreload_memcheck-amd64-linux.so"}) {
    ASSERT_NE(translator_of(path), nullptr) << path;
    EXPECT_EQ(translator_of(path)->name, "valgrind");
  }
  ASSERT_NE(translator_of("/opt/dynamorio/lib64/release/libdynamorio.so"), nullptr);
}

TEST(Translators, AreNotSeenInOtherFiles) {
  for (const char* path : {"/usr/bin/valgrind", "/usr/lib/x86_64-linux-gnu/libc.so.6", "[vdso]", "",
                           "/home/valgrind/a", "/srv/valgrind/report.xml"}) {
    EXPECT_EQ(translator_of(path), nullptr) << path;
  }
}

}  // namespace
}  // namespace leaktrace::catalog
