// SPDX-License-Identifier: Apache-2.0
#include "user/symbolize/debug_files.h"

#include <fmt/core.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "user/base/log.h"

namespace leaktrace::symbolize {
namespace {

/// Larger debug files are not compared by the checksum of .gnu_debuglink, which is that of the
/// whole file: a second of reading or so.
constexpr std::uint64_t kMaxChecked = std::uint64_t{2} << 30;

/// Null when there is no such file, an error when it may not or cannot be read.
Result<std::unique_ptr<ElfFile>> try_elf(const std::string& path, const ForeignRoot& root) {
  auto fd = open_foreign(root, path);
  if (!fd) return fd.unexpected();
  if (!*fd) return std::unique_ptr<ElfFile>();
  auto file = ElfFile::open(std::move(*fd));
  if (!file) return fail(fmt::format("{}{}: {}", root.name(), path, file.error().what));
  return file;
}

std::unique_ptr<ElfFile> open_elf(const std::string& path, const ForeignRoot& root) {
  auto file = try_elf(path, root);
  if (file) return std::move(*file);
  log::debug("{}", file.error().what);
  return nullptr;
}

/// Where a file is looked for by its build id: nobody but the owner of the host chooses what lies
/// there.
std::vector<ForeignRoot> host_and(const ForeignRoot& root) {
  return root.is_host() ? std::vector{root} : std::vector{ForeignRoot(), root};
}

// A file's debug link may name the file itself, once it is installed.
bool has_debug_info(const ElfFile& file) {
  return file.section(".debug_info") || file.section(".zdebug_info");
}

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

/// Why the file is not the one that the link means; empty when it is.
std::string why_other_build(const ElfFile& file, const DebugFileQuery& query) {
  constexpr const char* kOther = "is of another build";
  const std::string build_id = file.build_id();
  if (!query.build_id.empty() && !build_id.empty()) {
    return build_id == query.build_id ? "" : kOther;
  }
  if (file.size() > kMaxChecked) {
    return fmt::format("has no build id and more than {} GiB to compare", kMaxChecked >> 30);
  }
  return crc_of(file) == query.link->crc ? "" : kOther;
}

bool is_hex_digit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

std::string build_id_path(const std::string& build_id, std::string_view suffix) {
  // A recording may say anything in its place.
  if (build_id.size() < 4 || !std::ranges::all_of(build_id, is_hex_digit)) return {};
  return fmt::format("/usr/lib/debug/.build-id/{}/{}{}", build_id.substr(0, 2), build_id.substr(2),
                     suffix);
}

/// A look for the debug file of one module, in place after place.
class Search {
 public:
  Search(const DebugFileQuery& query, const ElfFile* module) : query_(query), module_(module) {}

  [[nodiscard]] std::unique_ptr<ElfFile> by_build_id(const ForeignRoot& root) {
    const std::string path = build_id_path(query_.build_id, ".debug");
    auto file = path.empty() ? nullptr : open_elf(path, root);
    if (!file) return nullptr;
    if (file->build_id() != query_.build_id) return refuse(path, "is of another build");
    return take(std::move(file), path);
  }

  [[nodiscard]] std::unique_ptr<ElfFile> by_link() {
    const std::filesystem::path folder = std::filesystem::path(query_.path).parent_path();
    const std::filesystem::path global = "/usr/lib/debug";
    for (const auto& place : {folder, folder / ".debug", global / folder.relative_path()}) {
      const std::string path = place / query_.link->name;
      auto opened = try_elf(path, query_.root);
      if (!opened) refused_.add(path, opened.error().what);
      auto file = opened ? std::move(*opened) : nullptr;
      if (!file || !has_debug_info(*file)) continue;
      if (const std::string why = why_other_build(*file, query_); !why.empty()) {
        refuse(path, why);
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

DebugFile search(Search& search, const DebugFileQuery& query) {
  for (const ForeignRoot& root : host_and(query.root)) {
    if (auto file = search.by_build_id(root)) return {std::move(file), root};
  }
  // The format allows a plain file name only.
  const bool usable = query.link && !query.link->name.empty() &&
                      query.link->name.find('/') == std::string::npos &&
                      query.path.starts_with('/');
  return {usable ? search.by_link() : nullptr, query.root};
}

}  // namespace

std::unique_ptr<ElfFile> find_by_build_id(const std::string& build_id, const ForeignRoot& root) {
  const std::string path = build_id_path(build_id, ".debug");
  auto file = path.empty() ? nullptr : open_elf(path, root);
  return file && file->build_id() == build_id ? std::move(file) : nullptr;
}

DebugFile find_debug_file(const DebugFileQuery& query, const ElfFile* module, FileLosses& losses) {
  Search places(query, module);
  DebugFile found = search(places, query);
  if (!found.file) places.tell(losses);
  return found;
}

std::unique_ptr<SplitPackage> find_package(const DebugFileQuery& query) {
  const auto open = [](const std::string& path, const ForeignRoot& root) {
    auto file = path.starts_with('/') ? open_elf(path, root) : nullptr;
    return file ? SplitPackage::open(std::move(file)) : nullptr;
  };
  for (const std::string& path : {query.path + ".dwp", "/usr/lib/debug" + query.path + ".dwp"}) {
    if (auto package = open(path, query.root)) return package;
  }
  for (const ForeignRoot& root : host_and(query.root)) {
    if (auto package = open(build_id_path(query.build_id, ".dwp"), root)) return package;
  }
  return nullptr;
}

Result<std::unique_ptr<ElfFile>> find_split_file(const DebugFileQuery& query,
                                                 const std::string& location,
                                                 const std::string& name, const std::string& folder,
                                                 const std::function<bool(const ElfFile&)>& fits) {
  using Path = std::filesystem::path;
  const Path module_folder = Path(query.path).parent_path();
  const Path file_folder = Path(location).parent_path();
  std::optional<Error> refused;
  // A folder of the compilation may be relative (-ffile-prefix-map).
  for (const Path& path : {Path(folder) / name, module_folder / name, module_folder / folder / name,
                           file_folder / name, file_folder / folder / name}) {
    if (!path.is_absolute()) continue;
    auto file = try_elf(path.lexically_normal(), query.root);
    if (!file) {
      refused = file.error();
    } else if (*file && fits(**file)) {
      return file;
    }
  }
  if (refused) return fail(refused->what);
  return std::unique_ptr<ElfFile>();
}

std::unique_ptr<ElfFile> find_alternate_file(const AlternateLink& link, const std::string& path,
                                             const ForeignRoot& root) {
  for (const ForeignRoot& top : host_and(root)) {
    if (auto file = find_by_build_id(link.build_id, top)) return file;
  }
  const std::filesystem::path place = std::filesystem::path(path).parent_path() / link.name;
  auto file = place.is_absolute() ? open_elf(place.lexically_normal(), root) : nullptr;
  return file && file->build_id() == link.build_id ? std::move(file) : nullptr;
}

}  // namespace leaktrace::symbolize
