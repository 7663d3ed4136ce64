// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/label.h"

#include <gtest/gtest.h>

namespace leaktrace::analyze {
namespace {

std::vector<ReportFrame> stack_of(std::initializer_list<const char*> functions) {
  std::vector<ReportFrame> stack;
  for (const char* function : functions) {
    ReportFrame& frame = stack.emplace_back();
    frame.source.function = function;
    frame.module = "/usr/bin/server";
    frame.offset = 0x1234;
  }
  return stack;
}

TEST(Label, IsTheFirstFunctionThatIsNoAllocator) {
  EXPECT_EQ(site_label(stack_of({"leaky_handler", "main"})), "leaky_handler");
  EXPECT_EQ(site_label(stack_of({"xmalloc", "xstrdup", "parse_line", "main"})), "parse_line");
  EXPECT_EQ(site_label(stack_of({"zmalloc", "createObject"})), "createObject");
  EXPECT_EQ(site_label(stack_of({"_PyMem_RawMalloc", "PyMem_Malloc", "list_resize"})),
            "list_resize");
}

TEST(Label, SeesThroughContainers) {
  EXPECT_EQ(site_label(stack_of(
                {"operator new(unsigned long)",
                 "__gnu_cxx::new_allocator<int>::allocate(unsigned long, void const*)",
                 "std::allocator_traits<std::allocator<int> >::allocate(std::allocator<int>&)",
                 "void std::vector<int, std::allocator<int> >::_M_realloc_insert<int>(int*, int&&)",
                 "std::vector<int, std::allocator<int> >::push_back(int&&)",
                 "Cache::remember(std::string const&)", "main"})),
            "Cache::remember");
  EXPECT_EQ(site_label(stack_of({"__rust_alloc", "alloc::raw_vec::RawVec<T,A>::reserve",
                                 "<alloc::vec::Vec<T> as core::iter::Extend<T>>::extend",
                                 "server::handle"})),
            "server::handle");
}

TEST(Label, AReturnTypeDoesNotHideAFunction) {
  EXPECT_EQ(site_label(stack_of({"operator new(unsigned long)",
                                 "std::unique_ptr<Foo> make_foo<int>(int)", "main"})),
            "make_foo<int>");
}

TEST(Label, NamesOfOwnNamespacesAreNotTakenForRust) {
  EXPECT_FALSE(is_allocation_plumbing("core::Engine::run()"));
  EXPECT_FALSE(is_allocation_plumbing("alloc::Pool::grow()"));
  EXPECT_FALSE(is_allocation_plumbing("standard::f()"));
  EXPECT_FALSE(is_allocation_plumbing("malloc_report"));
}

TEST(Label, WhatAnInterpreterDoesIsNamedByTheScript) {
  auto stack = stack_of({"PyByteArray_Resize", "leaks", "<module>", "_PyEval_EvalFrameDefault"});
  stack[1].module = stack[2].module = model::kPythonModule;
  EXPECT_EQ(site_label(stack), "leaks");
  // A library that the script calls leaks for itself.
  stack.insert(stack.begin() + 1, stack_of({"parse_image"}).front());
  stack[1].module = "/usr/lib/python3/_imaging.so";
  EXPECT_EQ(site_label(stack), "parse_image");
}

TEST(Label, FallsBackToWhatIsKnown) {
  EXPECT_EQ(site_label({}), "(no stack)");
  EXPECT_EQ(site_label(stack_of({""})), "server+0x1234");
  EXPECT_EQ(site_label(stack_of({"operator new(unsigned long)", "", "main"})), "server+0x1234");
  EXPECT_EQ(site_label(stack_of({"operator new(unsigned long)"})), "operator new");
  std::vector<ReportFrame> unknown(1);
  unknown[0].address = 0x7f0000001000;
  EXPECT_EQ(site_label(unknown), "0x7f0000001000");
}

}  // namespace
}  // namespace leaktrace::analyze
