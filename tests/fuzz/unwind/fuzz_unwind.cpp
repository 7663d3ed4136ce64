// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/unwind/fuzz_unwind.h"

#include <fmt/core.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include <cstdlib>
#include <cstring>
#include <string_view>

#include "user/base/file.h"
#include "user/base/unique_fd.h"
#include "user/unwind/table.h"
#include "user/unwind/table_check.h"

namespace leaktrace::fuzz {
namespace {

void require(bool holds, const char* what) {
  if (holds) return;
  fmt::print(stderr, "broken: {}\n", what);
  std::abort();
}

UniqueFd file_of(std::string_view bytes) {
  UniqueFd fd(::memfd_create("input", MFD_CLOEXEC));
  require(fd && write_all(fd.get(), bytes) && ::lseek(fd.get(), 0, SEEK_SET) == 0, "a file");
  return fd;
}

void check(const Result<unwind::Table>& table) {
  if (!table) {
    require(!table.error().what.empty(), "an error says what it is");
    return;
  }
  require(unwind::is_sound(*table), "a table is sound");
  for (std::size_t i = 0; i < table->pages.size(); ++i) {
    require(table->find(table->base + i * 65536 + 4711).has_value(), "each page has a row");
  }
}

/// As the header of table_cache.cpp is laid out.
void seal(std::string& bytes) {
  constexpr std::size_t crc_at = 12;
  constexpr std::size_t size_at = 24;
  constexpr std::size_t owner_at = 32;
  constexpr std::size_t head_crc_at = 36;
  constexpr std::size_t header_bytes = 88;
  if (bytes.size() < header_bytes) return;
  const unwind::FileIdentity identity = fuzz_identity();
  std::memcpy(bytes.data() + size_at, &identity.size, sizeof identity.size);
  std::memcpy(bytes.data() + owner_at, &identity.owner, sizeof identity.owner);
  std::memcpy(bytes.data() + head_crc_at, &identity.head_crc, sizeof identity.head_crc);
  const auto crc = static_cast<std::uint32_t>(
      ::crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()) + crc_at + sizeof(std::uint32_t),
                bytes.size() - crc_at - sizeof(std::uint32_t)));
  std::memcpy(bytes.data() + crc_at, &crc, sizeof crc);
}

}  // namespace

unwind::FileIdentity fuzz_identity() {
  return {"0123456789abcdef", 4096, 0, 0x12345678, true};
}

void fuzz_unwind_table(const std::uint8_t* data, std::size_t size) {
  const UniqueFd fd = file_of({reinterpret_cast<const char*>(data), size});
  check(unwind::read_table(fd.get()));
}

void fuzz_unwind_cache(const std::uint8_t* data, std::size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  check(unwind::read_cached_table(file_of(bytes).get(), fuzz_identity()));
  seal(bytes);
  check(unwind::read_cached_table(file_of(bytes).get(), fuzz_identity()));
}

}  // namespace leaktrace::fuzz
