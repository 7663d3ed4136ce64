// SPDX-License-Identifier: Apache-2.0
#include "user/symbolize/debug_files.h"

#include <fmt/core.h>
#include <unistd.h>
#include <zlib.h>

#include <array>
#include <cstddef>
#include <filesystem>
#include <string_view>
#include <utility>
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

std::string build_id_path(const std::string& build_id, std::string_view suffix) {
  if (build_id.size() < 4) return {};
  return fmt::format("/usr/lib/debug/.build-id/{}/{}{}", build_id.substr(0, 2), build_id.substr(2),
                     suffix);
}

/// A look for the debug file of one module, in place after place.
class Search {
 public:
  Search(const DebugFileQuery& query, const ElfFile* module) : query_(query), module_(module) {}

  [[nodiscard]] std::unique_ptr<ElfFile> by_build_id(const std::string& root) {
    const std::string path = build_id_path(query_.build_id, ".debug");
    auto file = path.empty() ? nullptr : open_elf(path, root);
    if (!file) return nullptr;
    if (file->build_id() != query_.build_id) return refuse(path, "is of another build");
    return take(std::move(file), path);
  }

  [[nodiscard]] std::unique_ptr<ElfFile> by_link(const std::string& root) {
    const std::filesystem::path folder = std::filesystem::path(query_.path).parent_path();
    const std::filesystem::path global = "/usr/lib/debug";
    for (const auto& place : {folder, folder / ".debug", global / folder.relative_path()}) {
      const std::string path = place / query_.link->name;
      auto file = open_elf(path, root);
      if (!file || !has_debug_info(*file)) continue;
      if (!same_build(*file, query_)) {
        refuse(path, "is of another build");
      } else if (auto taken = take(std::move(file), path)) {
        return taken;
      }
    }
    return nullptr;
  }

  void tell(FileLosses& losses) const { losses.add(refused_); }

 private:
  [[nodiscard]] std::unique_ptr<ElfFile> take(std::unique_ptr<ElfFile> file,
                                              const std::string& path) {
    if (module_ == nullptr || file->same_machine(*module_)) return file;
    return refuse(path, "is for another kind of processor");
  }

  std::nullptr_t refuse(const std::string& path, std::string_view what) {
    refused_.add(path, fmt::format("the debug file {} than {}", what, query_.path));
    return nullptr;
  }

  const DebugFileQuery& query_;
  const ElfFile* module_;
  FileLosses refused_;
};

std::unique_ptr<ElfFile> search(Search& search, const DebugFileQuery& query) {
  for (const std::string& root : roots(query.root)) {
    if (auto file = search.by_build_id(root)) return file;
  }
  // The format allows a plain file name only.
  if (!query.link || query.link->name.empty() || query.link->name.find('/') != std::string::npos)
    return nullptr;
  for (const std::string& root : roots(query.root)) {
    if (auto file = search.by_link(root)) return file;
  }
  return nullptr;
}

}  // namespace

std::unique_ptr<ElfFile> find_by_build_id(const std::string& build_id, const std::string& root) {
  const std::string path = build_id_path(build_id, ".debug");
  auto file = path.empty() ? nullptr : open_elf(path, root);
  return file && file->build_id() == build_id ? std::move(file) : nullptr;
}

std::unique_ptr<ElfFile> find_debug_file(const DebugFileQuery& query, const ElfFile* module,
                                         FileLosses& losses) {
  Search places(query, module);
  auto file = search(places, query);
  if (!file) places.tell(losses);
  return file;
}

std::unique_ptr<SplitPackage> find_package(const DebugFileQuery& query) {
  const std::string by_id = build_id_path(query.build_id, ".dwp");
  for (const std::string& root : roots(query.root)) {
    for (const std::string& path :
         {query.path + ".dwp", "/usr/lib/debug" + query.path + ".dwp", by_id}) {
      auto file = path.starts_with('/') ? open_elf(path, root) : nullptr;
      auto package = file ? SplitPackage::open(std::move(file)) : nullptr;
      if (package) return package;
    }
  }
  return nullptr;
}

std::unique_ptr<ElfFile> find_split_file(const DebugFileQuery& query, const std::string& location,
                                         const std::string& name, const std::string& folder,
                                         const std::function<bool(const ElfFile&)>& fits) {
  using Path = std::filesystem::path;
  const Path module_folder = Path(query.path).parent_path();
  const Path file_folder = Path(location).parent_path();
  for (const std::string& root : roots(query.root)) {
    // A folder of the compilation may be relative (-ffile-prefix-map).
    for (const Path& path :
         {Path(folder) / name, module_folder / name, module_folder / folder / name,
          file_folder / name, file_folder / folder / name}) {
      if (!path.is_absolute()) continue;
      auto file = open_elf(path.lexically_normal(), root);
      if (file && fits(*file)) return file;
    }
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
