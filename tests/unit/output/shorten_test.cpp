// SPDX-License-Identifier: Apache-2.0
#include "user/output/shorten.h"

#include <gtest/gtest.h>

#include <string>

#include "user/base/printable.h"

namespace leaktrace::output {
namespace {

TEST(Shorten, WhatFitsStays) {
  EXPECT_EQ(shorten_function("main", 10), "main");
  EXPECT_EQ(shorten_function("f(int, char const*)", 40), "f(int, char const*)");
  EXPECT_EQ(shorten_function("", 10), "");
}

TEST(Shorten, LibraryNoiseGoesAlways) {
  EXPECT_EQ(shorten_function("f(std::__cxx11::basic_string<char, std::char_traits<char>, "
                             "std::allocator<char> > const&)",
                             200),
            "f(std::string const&)");
  EXPECT_EQ(shorten_function("(anonymous namespace)::f(int)", 200), "(anonymous)::f(int)");
  EXPECT_EQ(shorten_function("main::{lambda(int, char)#2}::operator()(int) const", 200),
            "main::{lambda#2}::operator()(int) const");
  EXPECT_EQ(shorten_function("a<b<c<d> > >", 200), "a<b<c<d>>>");
}

TEST(Shorten, ArgumentsGoBeforeTemplates) {
  const std::string name = "std::map<int, std::pair<char, long>>::insert(int const&, char)";
  EXPECT_EQ(shorten_function(name, 50), "std::map<int, std::pair<char, long>>::insert(…)");
  EXPECT_EQ(shorten_function(name, 45), "std::map<int, std::pair<…>>::insert(…)");
  EXPECT_EQ(shorten_function(name, 30), "std::map<…>::insert(…)");
  EXPECT_EQ(shorten_function(name, 20), "std::map<…>::insert");
  EXPECT_EQ(shorten_function(name, 10), "…>::insert");
}

TEST(Shorten, EmptyArgumentsAndOperatorsStay) {
  EXPECT_EQ(shorten_function("Class<int, long, char>::operator()()", 25), "Class<…>::operator()()");
  EXPECT_EQ(shorten_function("std::ostream& operator<< <char>(std::ostream&, char)", 34),
            "std::ostream& operator<< <char>(…)");
  EXPECT_EQ(shorten_function("C::operator->(int, int, int, int)", 18), "C::operator->(…)");
}

TEST(Shorten, RustTraitsKeepTheirName) {
  EXPECT_EQ(shorten_function("<server::Cache<alloc::string::String> as Store>::put", 40),
            "<server::Cache<…> as Store>::put");
}

TEST(Shorten, AlwaysFits) {
  const std::string names[] = {
      "void std::vector<std::map<int, std::vector<char, std::allocator<char> > >, "
      "std::allocator<int> >::_M_realloc_insert<int const&>(int*, int const&)",
      "größe<ßßßßßßßßßßßßß>(ßßßßßß, ßßßßßß)", "f<<<<<(((((", std::string(500, 'x'),
      "operator new[](unsigned long, std::align_val_t, std::nothrow_t const&)"};
  for (const std::string& name : names) {
    for (std::size_t width = 0; width < 120; ++width) {
      const std::string shortened = shorten_function(name, width);
      EXPECT_LE(columns(shortened), width) << name;
      EXPECT_EQ(printable(shortened), shortened) << "cut within a character";
    }
  }
}

TEST(Shorten, PathsKeepTheirEnd) {
  EXPECT_EQ(shorten_path("src/main.rs", 20), "src/main.rs");
  EXPECT_EQ(shorten_path("/home/builder/project/src/main.rs", 20), "…/src/main.rs");
  EXPECT_EQ(shorten_path("/home/a_file_with_a_long_name.cpp", 10), "…_name.cpp");
  EXPECT_EQ(shorten_path("abc", 0), "");
}

}  // namespace
}  // namespace leaktrace::output
