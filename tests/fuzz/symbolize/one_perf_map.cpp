// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/symbolize/one_perf_map.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "user/symbolize/jit_names.h"

namespace leaktrace::symbolize::test {
namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

void read_perf_map(const std::uint8_t* bytes, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  JitNames whole(1 << 16);
  JitNames pieces(1 << 16);
  require(whole.read(text) <= size);
  std::size_t read = 0;
  for (std::size_t end = 0; end < size;) {
    end = std::min(size, end + 1 + bytes[end] % 97);
    read += pieces.read(text.substr(read, end - read));
    require(read <= end);
  }
  require(whole.size() == pieces.size() && whole.malformed() == pieces.malformed() &&
          whole.left_out() == pieces.left_out());
  for (std::uint64_t at = 0; at < 0x4000; at += 61) {
    const std::string* name = whole.find(at);
    require((name == nullptr) == (pieces.find(at) == nullptr));
    if (name == nullptr) continue;
    require(!name->empty() && *name == *pieces.find(at));
    require(!split_jit_name(*name).function.empty());
  }
}

}  // namespace leaktrace::symbolize::test
