// SPDX-License-Identifier: Apache-2.0
// What RemoteElfReader and its worker say to each other. Unpacker::ok() says whether what was
// unpacked was packed so; what it means is for the caller to check.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "user/base/message.h"
#include "user/tracer/elf_reader.h"

namespace leaktrace::tracer {

/// Questions, each with the file; the answers have the same number.
enum class ElfMessage : std::uint32_t {
  read = 1,         ///< wanted names ▶ contents
  find_places = 2,  ///< image, requests, what is emulated ▶ places
  find_layout = 3,  ///< image ▶ layout
};

void pack(Packer& packer, const ElfContents& contents);
[[nodiscard]] ElfContents unpack_contents(Unpacker& body);

void pack(Packer& packer, const ElfImage& image);
[[nodiscard]] ElfImage unpack_image(Unpacker& body);

void pack(Packer& packer, std::span<const HookRequest> requests);
[[nodiscard]] std::vector<HookRequest> unpack_requests(Unpacker& body);

void pack(Packer& packer, std::span<const HookPlace> places);
[[nodiscard]] std::vector<HookPlace> unpack_places(Unpacker& body);

/// Plain memory, or none.
template <typename Plain>
void pack_plain(Packer& packer, const std::optional<Plain>& value) {
  static_assert(std::is_trivially_copyable_v<Plain>);
  packer.text(value ? std::string_view(reinterpret_cast<const char*>(&*value), sizeof(Plain))
                    : std::string_view());
}

template <typename Plain>
[[nodiscard]] std::optional<Plain> unpack_plain(Unpacker& body) {
  const std::string bytes = body.text();
  if (bytes.size() != sizeof(Plain)) return std::nullopt;
  Plain value;
  std::memcpy(&value, bytes.data(), sizeof(value));
  return value;
}

}  // namespace leaktrace::tracer
