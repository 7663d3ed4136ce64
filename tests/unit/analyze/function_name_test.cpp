// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/function_name.h"

#include <gtest/gtest.h>

#include <string>

namespace leaktrace::analyze {
namespace {

TEST(QualifiedName, PlainNamesStay) {
  EXPECT_EQ(qualified_name("main"), "main");
  EXPECT_EQ(qualified_name("ns::Class::method"), "ns::Class::method");
  EXPECT_EQ(qualified_name(""), "");
}

TEST(QualifiedName, ArgumentsAndQualifiersGo) {
  EXPECT_EQ(qualified_name("f(int, char const*)"), "f");
  EXPECT_EQ(qualified_name("ns::C::m(std::function<void (int)>) const"), "ns::C::m");
  EXPECT_EQ(qualified_name("f() [clone .cold]"), "f");
  EXPECT_EQ(qualified_name("f [clone .isra.0]"), "f");
}

TEST(QualifiedName, ReturnTypesOfTemplatesGo) {
  EXPECT_EQ(qualified_name("void f<int>(int)"), "f<int>");
  EXPECT_EQ(qualified_name("std::unique_ptr<Foo, std::default_delete<Foo> > make<Foo>()"),
            "make<Foo>");
  EXPECT_EQ(
      qualified_name("void std::vector<int, std::allocator<int> >::_M_realloc_insert<int>(int*)"),
      "std::vector<int, std::allocator<int> >::_M_realloc_insert<int>");
  EXPECT_EQ(qualified_name("decltype (f(0)) g<int>(int)"), "g<int>");
}

TEST(QualifiedName, OperatorsKeepTheirSigns) {
  EXPECT_EQ(qualified_name("operator new(unsigned long)"), "operator new");
  EXPECT_EQ(qualified_name("operator new[](unsigned long, std::nothrow_t const&)"),
            "operator new[]");
  EXPECT_EQ(qualified_name("C::operator()(int) const"), "C::operator()");
  EXPECT_EQ(qualified_name("C::operator[](int)"), "C::operator[]");
  EXPECT_EQ(qualified_name("std::ostream& operator<< <char>(std::ostream&, char)"),
            "operator<< <char>");
  EXPECT_EQ(qualified_name("C::operator->()"), "C::operator->");
  EXPECT_EQ(qualified_name("C::operator std::string() const"), "C::operator std::string");
  EXPECT_EQ(qualified_name("cooperator_new(int)"), "cooperator_new");
}

TEST(QualifiedName, LocalScopesStay) {
  EXPECT_EQ(qualified_name("(anonymous namespace)::f(int)"), "(anonymous namespace)::f");
  EXPECT_EQ(qualified_name("void (anonymous namespace)::f<int>(int)"),
            "(anonymous namespace)::f<int>");
  EXPECT_EQ(qualified_name("main::{lambda(int)#1}::operator()(int) const"),
            "main::{lambda(int)#1}::operator()");
  EXPECT_EQ(qualified_name("f(int) const::{lambda()#2}::operator()() const"),
            "f(int) const::{lambda()#2}::operator()");
}

TEST(QualifiedName, RustNamesStayWhole) {
  EXPECT_EQ(qualified_name("alloc::raw_vec::RawVec<T,A>::reserve"),
            "alloc::raw_vec::RawVec<T,A>::reserve");
  EXPECT_EQ(qualified_name("<alloc::vec::Vec<T> as core::iter::Extend<T>>::extend"),
            "<alloc::vec::Vec<T> as core::iter::Extend<T>>::extend");
  EXPECT_EQ(qualified_name("server::main::{{closure}}"), "server::main::{{closure}}");
}

TEST(QualifiedName, WhatIsNotUnderstoodComesBackWhole) {
  for (const char* odd : {"f(", "f<int", "(((", "<", "operator", " ", "a b", "x::operator<"}) {
    const std::string whole = odd;
    const std::string_view name = qualified_name(whole);
    EXPECT_NE(whole.find(name), std::string::npos) << whole;
    EXPECT_FALSE(name.empty()) << whole;
  }
  EXPECT_EQ(qualified_name("f(int"), "f(int");
  EXPECT_EQ(qualified_name("f<int(int)"), "f<int(int)");
}

TEST(PastBracket, FindsThePartner) {
  EXPECT_EQ(past_bracket("f<a<b>, (c)>(d)", 1), 12U);
  EXPECT_EQ(past_bracket("f<decltype(p->q)>", 1), 17U);
  EXPECT_EQ(past_bracket("f<&C::operator< >", 1), 17U);
  EXPECT_EQ(past_bracket("f<a", 1), std::string_view::npos);
}

}  // namespace
}  // namespace leaktrace::analyze
