// SPDX-License-Identifier: Apache-2.0
#include "user/base/file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <string>
#include <thread>

namespace leaktrace {
namespace {

using testing::HasSubstr;

TEST(ReadFile, NamesTheFileItCannotOpen) {
  auto content = read_file("/no/such/file");
  ASSERT_FALSE(content);
  EXPECT_THAT(content.error().what, HasSubstr("/no/such/file"));
}

TEST(WriteAll, WaitsForAPipeThatIsMadeNonBlocking) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK), 0);
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  const std::string text(std::size_t{1} << 20, 'x');
  std::size_t got = 0;
  std::thread reader([&] {
    ::fcntl(read_end.get(), F_SETFL, 0);
    std::array<char, 65536> buffer{};
    while (got < text.size()) {
      const ssize_t n = ::read(read_end.get(), buffer.data(), buffer.size());
      if (n <= 0) break;
      got += static_cast<std::size_t>(n);
    }
  });
  EXPECT_TRUE(write_all(write_end.get(), text));
  write_end.reset();
  reader.join();
  EXPECT_EQ(got, text.size());
}

}  // namespace
}  // namespace leaktrace
