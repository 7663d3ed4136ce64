// SPDX-License-Identifier: Apache-2.0
#include "user/base/output_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>

#include "user/base/file.h"

namespace leaktrace {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = ".leaktrace-";
constexpr std::string_view kSuffix = ".tmp";
constexpr const char* kAdvice = "name a file in a folder that you may write to with -o";

Unexpected cannot_write(const std::string& path, int error) {
  return fail(describe_errno("cannot write " + path, error), kAdvice);
}

bool is_trusted(uid_t owner) {
  return owner == 0 || owner == ::geteuid();
}

// ---- /dev/stdout and its like ------------------------------------------------------------------

/// N, when the path is /proc/self/fd/N by whatever links of this user or of root.
std::optional<int> own_descriptor(fs::path path) {
  constexpr int kMostLinks = 8;
  for (int i = 0; i < kMostLinks; ++i) {
    std::error_code error;
    const fs::path given = path.parent_path();
    const fs::path folder = fs::canonical(given.empty() ? "." : given, error);
    if (error) return std::nullopt;
    const std::string name = path.filename();
    if (folder == fmt::format("/proc/{}/fd", ::getpid())) {
      int number = -1;
      const auto [end, failed] = std::from_chars(name.data(), name.data() + name.size(), number);
      const bool whole = failed == std::errc() && end == name.data() + name.size();
      return whole ? std::optional(number) : std::nullopt;
    }
    struct stat info {};
    if (::lstat(path.c_str(), &info) != 0 || !S_ISLNK(info.st_mode) || !is_trusted(info.st_uid)) {
      return std::nullopt;
    }
    path = folder / fs::read_symlink(path, error);
    if (error) return std::nullopt;
  }
  return std::nullopt;
}

// ---- What is written to directly ---------------------------------------------------------------

const char* why_not_direct(const struct stat& info) {
  if (S_ISBLK(info.st_mode)) return "it is a disk";
  if (S_ISSOCK(info.st_mode)) return "it is a socket";
  return is_trusted(info.st_uid) ? nullptr : "it is a pipe or a device of another user";
}

/// The pipe or device that `name` in the folder stands for; empty when it is to be replaced.
Result<UniqueFd> open_direct(int folder, const std::string& name, const std::string& path) {
  struct stat info {};
  if (::fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    return errno == ENOENT ? Result<UniqueFd>(UniqueFd()) : cannot_write(path, errno);
  }
  if (S_ISLNK(info.st_mode)) {
    if (!is_trusted(info.st_uid)) return UniqueFd();
    if (::fstatat(folder, name.c_str(), &info, 0) != 0) return UniqueFd();
  }
  if (S_ISREG(info.st_mode)) return UniqueFd();
  if (S_ISDIR(info.st_mode)) return cannot_write(path, EISDIR);
  if (const char* why = why_not_direct(info)) {
    return fail(fmt::format("cannot write {}: {}", path, why), "name another file with -o");
  }
  UniqueFd fd(::openat(folder, name.c_str(), O_WRONLY | O_NOCTTY | O_CLOEXEC));
  struct stat opened {};
  if (!fd || ::fstat(fd.get(), &opened) != 0) return cannot_write(path, errno);
  if (opened.st_dev != info.st_dev || opened.st_ino != info.st_ino) {
    return fail(fmt::format("cannot write {}: it was changed meanwhile", path));
  }
  return fd;
}

// ---- Temporary files ---------------------------------------------------------------------------

Result<std::string> random_name() {
  std::uint64_t number = 0;
  if (::getrandom(&number, sizeof(number), 0) != sizeof(number)) {
    return fail(describe_errno("no random numbers", errno));
  }
  return fmt::format("{}{:016x}{}", kPrefix, number, kSuffix);
}

bool is_temporary_name(std::string_view name) {
  constexpr std::size_t kDigits = 16;
  if (name.size() != kPrefix.size() + kDigits + kSuffix.size()) return false;
  const std::string_view digits = name.substr(kPrefix.size(), kDigits);
  return name.starts_with(kPrefix) && name.ends_with(kSuffix) &&
         digits.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

/// A regular file of this user that no living process has locked.
bool is_abandoned(int folder, const char* name) {
  const UniqueFd fd(
      ::openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  struct stat info {};
  return fd && ::fstat(fd.get(), &info) == 0 && S_ISREG(info.st_mode) &&
         info.st_uid == ::geteuid() && ::flock(fd.get(), LOCK_EX | LOCK_NB) == 0;
}

void remove_abandoned(int folder) {
  const int copy = ::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* entries = copy < 0 ? nullptr : ::fdopendir(copy);
  if (entries == nullptr) {
    if (copy >= 0) ::close(copy);
    return;
  }
  while (const dirent* entry = ::readdir(entries)) {
    const bool looks_so = is_temporary_name(entry->d_name) &&
                          (entry->d_type == DT_REG || entry->d_type == DT_UNKNOWN);
    if (looks_so && is_abandoned(folder, entry->d_name)) ::unlinkat(folder, entry->d_name, 0);
  }
  ::closedir(entries);
}

/// Locks the new file. Not when another run was quicker, that looks for what dead ones left.
bool lock_new(int fd) {
  struct stat info {};
  return ::flock(fd, LOCK_EX | LOCK_NB) == 0 && ::fstat(fd, &info) == 0 && info.st_nlink == 1;
}

}  // namespace

Result<OutputFile> OutputFile::create(const std::string& path) {
  OutputFile file;
  file.path_ = path;
  if (const auto own = own_descriptor(path)) {
    file.fd_ = UniqueFd(::fcntl(*own, F_DUPFD_CLOEXEC, 3));
    if (!file.fd_) return cannot_write(path, errno);
    return file;
  }
  const fs::path folder = fs::path(path).parent_path();
  file.name_ = fs::path(path).filename();
  if (file.name_.empty() || file.name_ == "." || file.name_ == "..") {
    return cannot_write(path, EISDIR);
  }
  file.folder_ = std::make_shared<UniqueFd>(
      ::open(folder.empty() ? "." : folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!*file.folder_) return cannot_write(path, errno);
  auto direct = open_direct(file.folder_->get(), file.name_, path);
  if (!direct) return direct.unexpected();
  if (*direct) {
    file.fd_ = std::move(*direct);
    return file;
  }
  remove_abandoned(file.folder_->get());
  if (auto made = file.make_temporary(); !made) return made.unexpected();
  return file;
}

Result<void> OutputFile::make_temporary() {
  constexpr int kMostTries = 16;
  for (int i = 0; i < kMostTries; ++i) {
    auto name = random_name();
    if (!name) return name.unexpected();
    UniqueFd fd(::openat(folder_->get(), name->c_str(),
                         O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!fd && errno != EEXIST) return cannot_write(path_, errno);
    if (!fd || !lock_new(fd.get())) continue;
    temporary_ = std::move(*name);
    fd_ = std::move(fd);
    return {};
  }
  return fail(fmt::format("cannot write {}: its folder does not keep new files", path_), kAdvice);
}

Result<std::optional<UniqueFd>> OutputFile::open_present() const {
  if (is_direct()) return std::optional<UniqueFd>();
  UniqueFd fd(::openat(folder_->get(), name_.c_str(),
                       O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  // A link is replaced, wherever it leads.
  if (!fd && (errno == ENOENT || errno == ELOOP)) return std::optional<UniqueFd>();
  if (!fd) return fail(describe_errno("cannot read " + path_, errno));
  return std::optional<UniqueFd>(std::move(fd));
}

Result<void> OutputFile::publish() {
  if (temporary_.empty()) return {};
  if (::renameat(folder_->get(), temporary_.c_str(), folder_->get(), name_.c_str()) != 0) {
    return fail(describe_errno("cannot give " + path_ + " its name", errno));
  }
  temporary_.clear();
  published_ = true;
  return {};
}

Result<OutputFile> OutputFile::next() const {
  OutputFile file;
  file.path_ = path_;
  file.name_ = name_;
  file.folder_ = folder_;
  if (auto made = file.make_temporary(); !made) return made.unexpected();
  return file;
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : path_(std::move(other.path_)),
      name_(std::move(other.name_)),
      temporary_(std::exchange(other.temporary_, {})),
      folder_(std::move(other.folder_)),
      fd_(std::move(other.fd_)),
      published_(other.published_) {}

OutputFile& OutputFile::operator=(OutputFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(name_, other.name_);
  std::swap(temporary_, other.temporary_);
  std::swap(folder_, other.folder_);
  std::swap(fd_, other.fd_);
  std::swap(published_, other.published_);
  return *this;
}

OutputFile::~OutputFile() {
  if (!temporary_.empty()) ::unlinkat(folder_->get(), temporary_.c_str(), 0);
}

Result<AtomicFile> AtomicFile::create(const std::string& path) {
  auto file = OutputFile::create(path);
  if (!file) return file.unexpected();
  return AtomicFile(path, std::move(*file));
}

Result<void> AtomicFile::commit(std::string_view bytes) {
  if (used_ && !file_.is_direct()) {
    auto next = file_.next();
    if (!next) return next.unexpected();
    file_ = std::move(*next);
  }
  used_ = true;
  auto written = write_all(file_.fd(), bytes);
  if (!written) return fail(fmt::format("{}: {}", path_, written.error().what));
  return file_.publish();
}

}  // namespace leaktrace
