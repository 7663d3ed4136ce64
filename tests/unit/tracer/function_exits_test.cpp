// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/function_exits.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "user/base/unique_fd.h"
#include "user/catalog/row.h"
#include "user/tracer/file_bytes.h"
#include "user/tracer/safe_returns.h"

#if defined(__x86_64__)
// Functions whose ways out are known. Each begins at the entry depth of the stack.
#define LT_FUNCTION(name, code)                                                                 \
  asm(".pushsection .text\n .p2align 4\n .globl " #name "\n .type " #name ", @function\n" #name \
      ":\n .cfi_startproc\n" code "\n .cfi_endproc\n .size " #name ", . - " #name               \
      "\n .popsection\n")
LT_FUNCTION(exits_two_returns,
            "test %rdi, %rdi\n je 1f\n mov $1, %eax\n ret\n 1: xor %eax, %eax\n ret");
LT_FUNCTION(exits_by_tail_call, "inc %rdi\n jmp exits_two_returns");
LT_FUNCTION(exits_by_conditional_tail_call, "test %rdi, %rdi\n jne exits_two_returns\n ret");
LT_FUNCTION(exits_by_register, "test %rdi, %rdi\n je 1f\n jmp *%rsi\n 1: ret");
LT_FUNCTION(exits_after_a_table,
            "push %rbx\n .cfi_adjust_cfa_offset 8\n jmp *%rsi\n pop %rbx\n"
            " .cfi_adjust_cfa_offset -8\n ret");
LT_FUNCTION(exits_to_another_file, "test %rdi, %rdi\n je 1f\n jmp getppid@plt\n 1: ret");
LT_FUNCTION(exits_or_aborts, "test %rdi, %rdi\n je 1f\n jmp abort@plt\n 1: ret");
LT_FUNCTION(exits_nowhere, "1: jmp 1b");
LT_FUNCTION(exits_through_no_code, "ret\n .byte 0x06, 0x06, 0x06");
LT_FUNCTION(exits_repz, "repz ret");
LT_FUNCTION(exits_and_pops, "ret $16");
asm(".pushsection .text.unlikely,\"ax\",@progbits\n"
    "exits_cold_part:\n .cfi_startproc\n mov $2, %eax\n ret\n .cfi_endproc\n .popsection\n");
LT_FUNCTION(exits_in_its_cold_part, "test %rdi, %rdi\n jne exits_cold_part\n ret");
#endif

namespace leaktrace::tracer {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

struct File {
  UniqueFd fd;
  ElfImage image;
  std::optional<Result<ExitFinder>> finder;

  File(const std::string& path, const std::vector<std::string>& wanted)
      : fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    auto read = ElfImage::read(fd.get(), wanted);
    if (read) image = std::move(*read);
  }

  [[nodiscard]] FunctionExits exits(const std::string& name) {
    if (!finder) finder.emplace(ExitFinder::open(fd.get(), image, always_emulated()));
    const FunctionSymbol* function = find_function(image, name);
    if (*finder && function) return (*finder)->find(*function);
    FunctionExits none;
    none.declined = *finder ? "no function " + name : finder->error().message();
    return none;
  }

  static ClassSet always_emulated() { return class_set({InstructionClass::push}); }
};

#if defined(__x86_64__)
FunctionExits exits_of(const std::string& name) {
  static File own("/proc/self/exe",
                  {"exits_two_returns", "exits_by_tail_call", "exits_by_conditional_tail_call",
                   "exits_by_register", "exits_after_a_table", "exits_to_another_file",
                   "exits_or_aborts", "exits_nowhere", "exits_through_no_code", "exits_repz",
                   "exits_and_pops", "exits_in_its_cold_part"});
  return own.exits(name);
}

TEST(FunctionExits, AreAllReturnInstructions) {
  const FunctionExits exits = exits_of("exits_two_returns");
  EXPECT_THAT(exits.declined, IsEmpty());
  ASSERT_THAT(exits.returns, SizeIs(2));
  for (const ProbeSite& site : exits.returns) {
    EXPECT_EQ(site.of_class, InstructionClass::ret);
    EXPECT_EQ(site.entry, site.offset);
    EXPECT_FALSE(site.emulated);
  }
  EXPECT_THAT(exits_of("exits_repz").returns, SizeIs(1));
  EXPECT_THAT(exits_of("exits_and_pops").returns, SizeIs(1));
}

TEST(FunctionExits, OfATailCallAreTheOtherFunctions) {
  const FunctionExits callee = exits_of("exits_two_returns");
  const FunctionExits caller = exits_of("exits_by_tail_call");
  ASSERT_THAT(caller.returns, SizeIs(2));
  EXPECT_EQ(caller.returns[0].offset, callee.returns[0].offset);
  EXPECT_EQ(caller.returns[1].offset, callee.returns[1].offset);
  EXPECT_THAT(exits_of("exits_by_conditional_tail_call").returns, SizeIs(3));
}

TEST(FunctionExits, AreFoundInPartsThatLieElsewhere) {
  EXPECT_THAT(exits_of("exits_in_its_cold_part").returns, SizeIs(2));
}

TEST(FunctionExits, ThatCannotBeFollowedAreNamed) {
  EXPECT_EQ(exits_of("exits_by_register").declined,
            "it may leave by \"jmp rsi\", which cannot be followed");
  EXPECT_EQ(exits_of("exits_to_another_file").declined,
            "it may leave by \"jmp getppid\", which cannot be followed");
  EXPECT_THAT(exits_of("exits_by_register").returns, IsEmpty());
}

TEST(FunctionExits, DoNotIncludeWhatNeverReturns) {
  const FunctionExits exits = exits_of("exits_or_aborts");
  EXPECT_THAT(exits.returns, SizeIs(1));
  EXPECT_THAT(exits.declined, IsEmpty());
}

TEST(FunctionExits, DoNotIncludeJumpsThroughATable) {
  const FunctionExits exits = exits_of("exits_after_a_table");
  EXPECT_THAT(exits.returns, SizeIs(1));
  EXPECT_THAT(exits.declined, IsEmpty());
}

TEST(FunctionExits, DeclineWhatIsNotUnderstood) {
  EXPECT_EQ(exits_of("exits_nowhere").declined, "it has no return instruction");
  const FunctionExits broken = exits_of("exits_through_no_code");
  EXPECT_THAT(broken.declined, HasSubstr("cannot be decoded"));
  EXPECT_THAT(broken.returns, IsEmpty());
}
#endif

/// Every function that the catalog hooks in a library that is not the C library: by its own
/// returns, with none of its ways out left unseen.
class LibraryExits : public testing::TestWithParam<const char*> {};

TEST_P(LibraryExits, AreAllFollowed) {
  std::vector<catalog::Row> rows(catalog::memory_rows().begin(), catalog::memory_rows().end());
  rows.insert(rows.end(), catalog::postgres_rows().begin(), catalog::postgres_rows().end());
  std::vector<std::string> names;
  for (const catalog::Row& row : rows) names.push_back(row.symbol);
  File file(GetParam(), names);
  ASSERT_TRUE(file.fd) << GetParam() << " is not installed: see scripts/setup";
  std::size_t found = 0;
  for (const catalog::Row& row : rows) {
    if (!row.needs_return() || !find_function(file.image, row.symbol)) continue;
    ++found;
    EXPECT_FALSE(may_have_trampoline(row, file.image, Trampolines::where_safe)) << row.symbol;
    const FunctionExits exits = file.exits(row.symbol);
    EXPECT_THAT(exits.declined, IsEmpty()) << row.symbol;
    for (const ProbeSite& site : exits.returns) {
      const auto code = read_bytes(file.fd.get(), site.offset, site.size);
      EXPECT_EQ(code.back(), 0xc3) << row.symbol;
    }
  }
  EXPECT_GE(found, 8U);
}

INSTANTIATE_TEST_SUITE_P(Of, LibraryExits,
                         testing::Values("/usr/lib/x86_64-linux-gnu/libjemalloc.so.2",
                                         "/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4",
                                         "/usr/lib/x86_64-linux-gnu/libpq.so.5"),
                         [](const auto& one) {
                           const std::string path = one.param;
                           const std::string name = path.substr(path.rfind('/') + 1);
                           return name.substr(0, name.find('.'));
                         });

// ---- Who may have a trampoline ------------------------------------------------------------------

const catalog::Row& row_of(const std::string& symbol) {
  return *std::ranges::find(catalog::memory_rows(), symbol, &catalog::Row::symbol);
}

ElfImage image_with(const LibraryMarks& marks) {
  ElfImage image;
  image.marks = marks;
  return image;
}

bool allows(const LibraryMarks& marks, const std::string& symbol = "malloc",
            Trampolines trampolines = Trampolines::where_safe) {
  return may_have_trampoline(row_of(symbol), image_with(marks), trampolines);
}

TEST(SafeReturns, AreThoseOfTheCLibrary) {
  void* (*malloc_function)(std::size_t) = &std::malloc;
  Dl_info libc{};
  ASSERT_NE(::dladdr(reinterpret_cast<void*>(malloc_function), &libc), 0);
  const File file(libc.dli_fname, {"malloc"});
  EXPECT_TRUE(is_plain_libc(file.image)) << libc.dli_fname;
  EXPECT_TRUE(may_have_trampoline(row_of("malloc"), file.image, Trampolines::where_safe));
  EXPECT_TRUE(may_have_trampoline(row_of("munmap"), file.image, Trampolines::where_safe));
  EXPECT_FALSE(may_have_trampoline(row_of("_Znwm"), file.image, Trampolines::where_safe));
  EXPECT_FALSE(may_have_trampoline(row_of("malloc"), file.image, Trampolines::never));
}

LibraryMarks marks_of(const std::string& soname) {
  LibraryMarks marks;
  marks.soname = soname;
  marks.start_main = true;
  return marks;
}

TEST(SafeReturns, AreToldByWhatTheLibraryDefines) {
  LibraryMarks glibc = marks_of("libc.so.6");
  glibc.glibc = true;
  EXPECT_FALSE(allows(glibc));  // before 2.34 malloc calls what __malloc_hook points to
  glibc.fork = true;
  EXPECT_TRUE(allows(glibc));
  glibc.go = true;
  EXPECT_FALSE(allows(glibc));
  EXPECT_TRUE(allows(marks_of("libc.musl-x86_64.so.1")));
  EXPECT_FALSE(allows(marks_of("libjemalloc.so.2")));
}

TEST(SafeReturns, OfAStaticProgramAreThoseOfGlibcsMalloc) {
  LibraryMarks program = marks_of("");
  EXPECT_FALSE(allows(program));  // it brings an allocator of its own
  program.int_malloc = true;
  EXPECT_TRUE(allows(program));
  program.malloc_hook = true;
  EXPECT_FALSE(allows(program));
}

}  // namespace
}  // namespace leaktrace::tracer
