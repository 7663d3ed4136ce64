// SPDX-License-Identifier: Apache-2.0
#include "user/unwind/table_cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <span>
#include <string_view>
#include <vector>

#include "user/base/file.h"
#include "user/unwind/table_check.h"
#include "user/unwind/table_version.h"

namespace leaktrace::unwind {
namespace {

constexpr std::array<char, 8> magic = {'L', 'T', 'U', 'N', 'W', 'I', 'N', 'D'};
constexpr uint32_t format_version = 1;
constexpr std::string_view suffix = ".unwind";
constexpr std::string_view temporary_prefix = ".tmp-";
/// A temporary file this old (seconds) was left by a process that died.
constexpr time_t abandoned_age = 3600;
/// Above what any file takes: 4 GiB of code in rows of 8 bytes for each 16 of it.
constexpr uint64_t most_file_bytes = uint64_t{2} << 30;

/// What a file of the cache begins with. Fixed-width fields in the machine's byte order: the magic
/// of another machine's file is read, its versions do not match.
struct Header {
  std::array<char, 8> magic;
  uint32_t format_version;
  uint32_t crc;  ///< of all that follows this field
  uint64_t compiler_version;
  uint64_t file_size;
  uint32_t file_owner;
  uint32_t file_head_crc;
  uint64_t base;
  uint64_t described_ranges;
  uint64_t skipped_ranges;
  uint32_t build_id_bytes;
  uint32_t segments;
  uint32_t pages;
  uint32_t rules;
  uint64_t rows;
};
static_assert(sizeof(Header) == 88 && sizeof(Segment) == 24 && sizeof(Page) == 8);

constexpr size_t unchecked_bytes = offsetof(Header, crc) + sizeof(Header::crc);

template <typename T>
std::span<std::byte> bytes_of(std::vector<T>& values) {
  return std::as_writable_bytes(std::span(values));
}

uint32_t crc_of(uint32_t before, std::span<const std::byte> bytes) {
  return static_cast<uint32_t>(
      ::crc32_z(before, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

uint32_t crc_of_header(const Header& header) {
  return crc_of(0, std::as_bytes(std::span(&header, 1)).subspan(unchecked_bytes));
}

Result<void> read_exactly(int fd, std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::read(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(describe_errno("cannot read it", errno));
    if (n == 0) return fail("it is cut off");
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return {};
}

/// Does it belong to this user, and can nobody else write to it?
bool is_ours(const struct stat& info) {
  return info.st_uid == ::geteuid() && (info.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

Header header_of(const FileIdentity& identity, const Table& table) {
  return {.magic = magic,
          .format_version = format_version,
          .crc = 0,
          .compiler_version = kTableVersion,
          .file_size = identity.size,
          .file_owner = identity.owner,
          .file_head_crc = identity.head_crc,
          .base = table.base,
          .described_ranges = table.described_ranges,
          .skipped_ranges = table.skipped_ranges,
          .build_id_bytes = static_cast<uint32_t>(identity.build_id.size()),
          .segments = static_cast<uint32_t>(table.segments.size()),
          .pages = static_cast<uint32_t>(table.pages.size()),
          .rules = static_cast<uint32_t>(table.rules.size()),
          .rows = table.rows.size()};
}

/// The size of a whole file with this header; nothing sums up to more than 2^40.
uint64_t size_of_file(const Header& header) {
  return sizeof header + header.build_id_bytes + header.segments * sizeof(Segment) +
         header.pages * sizeof(Page) + header.rules * sizeof(lt_unwind_rule) +
         std::min(header.rows, most_file_bytes) * sizeof(uint64_t);
}

Result<void> check_header(const Header& header, const FileIdentity& identity, uint64_t bytes) {
  if (header.magic != magic || header.format_version != format_version ||
      header.compiler_version != kTableVersion) {
    return fail("it is of another version of leaktrace, or no file of it");
  }
  if (header.file_size != identity.size || header.file_owner != identity.owner ||
      header.file_head_crc != identity.head_crc) {
    return fail("it is of another file with the same build id");
  }
  if (bytes > most_file_bytes || size_of_file(header) != bytes) {
    return fail("its size is not what it says");
  }
  return {};
}

/// The parts of a file behind its header, in their order.
std::array<std::span<const std::byte>, 5> parts_of(const FileIdentity& identity,
                                                   const Table& table) {
  return {std::as_bytes(std::span(identity.build_id)), std::as_bytes(std::span(table.segments)),
          std::as_bytes(std::span(table.pages)), std::as_bytes(std::span(table.rules)),
          std::as_bytes(std::span(table.rows))};
}

Result<void> write_parts(int fd, const FileIdentity& identity, const Table& table) {
  Header header = header_of(identity, table);
  header.crc = crc_of_header(header);
  for (const auto part : parts_of(identity, table)) header.crc = crc_of(header.crc, part);
  const auto write = [fd](std::span<const std::byte> bytes) {
    return write_all(fd, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  };
  if (auto written = write(std::as_bytes(std::span(&header, 1))); !written) return written;
  for (const auto part : parts_of(identity, table)) {
    if (auto written = write(part); !written) return written;
  }
  return {};
}

Result<void> make_folders(const std::string& path) {
  for (size_t at = path.find('/', 1);; at = path.find('/', at + 1)) {
    const std::string part = path.substr(0, at);
    if (!part.empty() && ::mkdir(part.c_str(), 0700) != 0 && errno != EEXIST) {
      return fail(describe_errno("cannot make " + part, errno));
    }
    if (at == std::string::npos) return {};
  }
}

struct Stored {
  std::string name;
  timespec used;
  uint64_t bytes;
};

bool used_before(const Stored& a, const Stored& b) {
  return std::pair(a.used.tv_sec, a.used.tv_nsec) < std::pair(b.used.tv_sec, b.used.tv_nsec);
}

/// The folder's tables; deletes what a process that died left half-written.
std::vector<Stored> list_tables(int folder) {
  std::vector<Stored> tables;
  const int copy = ::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* entries = copy < 0 ? nullptr : ::fdopendir(copy);
  if (entries == nullptr) return tables;
  const time_t now = ::time(nullptr);
  while (const dirent* entry = ::readdir(entries)) {
    const std::string_view name = entry->d_name;
    struct stat info {};
    if (::fstatat(folder, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (name.starts_with(temporary_prefix) && now - info.st_mtime > abandoned_age) {
      ::unlinkat(folder, entry->d_name, 0);
    } else if (name.ends_with(suffix)) {
      tables.push_back({std::string(name), info.st_mtim, static_cast<uint64_t>(info.st_size)});
    }
  }
  ::closedir(entries);
  return tables;
}

}  // namespace

std::string FileIdentity::key() const {
  return fmt::format("{}-{:x}-{:x}-{:08x}", build_id, size, owner, head_crc);
}

Result<FileIdentity> identify(int fd, const std::string& build_id) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return fail(describe_errno("cannot inspect it", errno));
  std::array<std::byte, 4096> head{};
  const ssize_t n = ::pread(fd, head.data(), head.size(), 0);
  if (n < 0) return fail(describe_errno("cannot read it", errno));
  FileIdentity identity;
  identity.build_id = build_id;
  identity.size = static_cast<uint64_t>(info.st_size);
  identity.owner = info.st_uid;
  identity.head_crc = crc_of(0, std::span(head).first(static_cast<size_t>(n)));
  identity.cacheable = !build_id.empty() && (info.st_mode & S_IWOTH) == 0;
  if (build_id.empty()) {
    identity.build_id = fmt::format("inode-{:x}-{:x}-{:x}.{:x}", info.st_dev, info.st_ino,
                                    info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
  }
  return identity;
}

Result<std::unique_ptr<TableCache>> TableCache::open(const std::string& folder,
                                                     uint64_t most_bytes) {
  if (auto made = make_folders(folder); !made) return made.unexpected();
  UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat info {};
  if (!fd || ::fstat(fd.get(), &info) != 0) {
    return fail(describe_errno("cannot open the cache of unwind tables " + folder, errno));
  }
  if (!is_ours(info)) {
    return fail(fmt::format("the cache of unwind tables {} is not used: another user may write to "
                            "it",
                            folder),
                "name a folder of your own with --unwind-cache");
  }
  return std::unique_ptr<TableCache>(new TableCache(std::move(fd), most_bytes));
}

Result<Table> read_cached_table(int fd, const FileIdentity& identity) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return fail(describe_errno("cannot inspect it", errno));
  Header header{};
  if (auto read = read_exactly(fd, std::as_writable_bytes(std::span(&header, 1))); !read) {
    return read.unexpected();
  }
  if (auto checked = check_header(header, identity, static_cast<uint64_t>(info.st_size));
      !checked) {
    return checked.unexpected();
  }
  std::vector<char> build_id(header.build_id_bytes);
  Table table;
  table.base = header.base;
  table.described_ranges = header.described_ranges;
  table.skipped_ranges = header.skipped_ranges;
  table.segments.resize(header.segments);
  table.pages.resize(header.pages);
  table.rules.resize(header.rules);
  table.rows.resize(header.rows);
  uint32_t crc = crc_of_header(header);
  for (const auto part : {bytes_of(build_id), bytes_of(table.segments), bytes_of(table.pages),
                          bytes_of(table.rules), bytes_of(table.rows)}) {
    if (auto read = read_exactly(fd, part); !read) return read.unexpected();
    crc = crc_of(crc, part);
  }
  if (crc != header.crc) return fail("its checksum is wrong");
  if (std::string_view(build_id.data(), build_id.size()) != identity.build_id) {
    return fail("it is of another build id");
  }
  if (!is_sound(table)) return fail("an index in it is out of bounds");
  return table;
}

Result<Table> TableCache::load(const FileIdentity& identity) const {
  if (!identity.cacheable) return fail("files without a build id are not kept");
  const std::string name = identity.key() + std::string(suffix);
  const UniqueFd fd(
      ::openat(folder_.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd) return fail(describe_errno("not in the cache", errno));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode) || !is_ours(info)) {
    return fail("another user may have written it");
  }
  auto table = read_cached_table(fd.get(), identity);
  if (table) ::futimens(fd.get(), nullptr);  // used now: the last to be deleted
  return table;
}

Result<void> TableCache::store(const FileIdentity& identity, const Table& table) {
  if (!identity.cacheable) return {};
  static std::atomic<unsigned> counter = 0;
  const std::string temporary =
      fmt::format("{}{}-{}", temporary_prefix, ::getpid(), counter.fetch_add(1));
  UniqueFd fd(::openat(folder_.get(), temporary.c_str(),
                       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) return fail(describe_errno("cannot write to the cache of unwind tables", errno));
  auto written = write_parts(fd.get(), identity, table);
  const std::string name = identity.key() + std::string(suffix);
  if (written && ::renameat(folder_.get(), temporary.c_str(), folder_.get(), name.c_str()) != 0) {
    written = fail(describe_errno("cannot name a file of the cache of unwind tables", errno));
  }
  if (!written) {
    ::unlinkat(folder_.get(), temporary.c_str(), 0);
    return written;
  }
  trim();
  return {};
}

void TableCache::trim() {
  const std::lock_guard lock(trimming_);
  std::vector<Stored> tables = list_tables(folder_.get());
  uint64_t bytes = 0;
  for (const Stored& table : tables) bytes += table.bytes;
  if (bytes <= most_bytes_) return;
  std::ranges::sort(tables, used_before);
  for (const Stored& table : tables) {
    if (bytes <= most_bytes_) return;
    if (::unlinkat(folder_.get(), table.name.c_str(), 0) == 0) bytes -= table.bytes;
  }
}

std::string default_cache_folder() {
  if (::geteuid() == 0) return "/var/cache/leaktrace/unwind";
  const auto value = [](const char* name) {
    const char* text = std::getenv(name);
    return std::string(text != nullptr && text[0] == '/' ? text : "");
  };
  if (const std::string cache = value("XDG_CACHE_HOME"); !cache.empty()) {
    return cache + "/leaktrace/unwind";
  }
  const std::string home = value("HOME");
  return home.empty() ? "" : home + "/.cache/leaktrace/unwind";
}

}  // namespace leaktrace::unwind
