// SPDX-License-Identifier: Apache-2.0
#include "user/symbolize/debug_files.h"

#include <fmt/core.h>
#include <unistd.h>
#include <zlib.h>

#include <array>
#include <filesystem>
#include <vector>

#include "user/base/log.h"
#include "user/symbolize/open_file.h"

namespace leaktrace::symbolize {
namespace {

std::unique_ptr<ElfFile> open_elf(const std::string& path, const std::string& root) {
  auto fd = open_regular(path, root);
  if (!fd) return nullptr;
  auto file = ElfFile::open(std::move(*fd));
  if (!file) {
    log::debug("{}{}: {}", root, path, file.error().what);
    return nullptr;
  }
  return std::move(*file);
}

std::vector<std::string> roots(const std::string& root) {
  return root.empty() ? std::vector<std::string>{""} : std::vector<std::string>{"", root};
}

// A file's debug link may name the file itself, once it is installed.
bool has_debug_info(const ElfFile& file) {
  return file.section(".debug_info") || file.section(".zdebug_info");
}

// The checksum of .gnu_debuglink: that of the whole debug file.
std::uint32_t crc_of(const ElfFile& file) {
  std::vector<unsigned char> buffer(1 << 16);
  uLong crc = ::crc32(0, nullptr, 0);
  off_t offset = 0;
  for (;;) {
    ssize_t n = ::pread(file.fd(), buffer.data(), buffer.size(), offset);
    if (n <= 0) return static_cast<std::uint32_t>(crc);
    crc = ::crc32(crc, buffer.data(), static_cast<uInt>(n));
    offset += n;
  }
}

bool same_build(const ElfFile& file, const DebugFileQuery& query) {
  std::string build_id = file.build_id();
  if (!query.build_id.empty() && !build_id.empty()) return build_id == query.build_id;
  return crc_of(file) == query.link->crc;
}

std::unique_ptr<ElfFile> find_by_link(const DebugFileQuery& query, const std::string& root) {
  const std::filesystem::path folder = std::filesystem::path(query.path).parent_path();
  const std::filesystem::path global = "/usr/lib/debug";
  for (const auto& place : {folder, folder / ".debug", global / folder.relative_path()}) {
    auto file = open_elf(place / query.link->name, root);
    if (file && has_debug_info(*file) && same_build(*file, query)) return file;
  }
  return nullptr;
}

}  // namespace

std::unique_ptr<ElfFile> find_by_build_id(const std::string& build_id, const std::string& root) {
  if (build_id.size() < 4) return nullptr;
  auto file = open_elf(fmt::format("/usr/lib/debug/.build-id/{}/{}.debug", build_id.substr(0, 2),
                                   build_id.substr(2)),
                       root);
  return file && file->build_id() == build_id ? std::move(file) : nullptr;
}

std::unique_ptr<ElfFile> find_debug_file(const DebugFileQuery& query) {
  for (const std::string& root : roots(query.root)) {
    if (auto file = find_by_build_id(query.build_id, root)) return file;
  }
  // The format allows a plain file name only.
  if (!query.link || query.link->name.empty() || query.link->name.find('/') != std::string::npos)
    return nullptr;
  for (const std::string& root : roots(query.root)) {
    if (auto file = find_by_link(query, root)) return file;
  }
  return nullptr;
}

std::unique_ptr<ElfFile> find_alternate_file(const AlternateLink& link, const std::string& path,
                                             const std::string& root) {
  const std::filesystem::path place = std::filesystem::path(path).parent_path() / link.name;
  for (const std::string& top : roots(root)) {
    if (auto file = find_by_build_id(link.build_id, top)) return file;
    auto file = open_elf(place.lexically_normal(), top);
    if (file && file->build_id() == link.build_id) return file;
  }
  return nullptr;
}

}  // namespace leaktrace::symbolize
