// SPDX-License-Identifier: Apache-2.0
#include "truth.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace exact_mix {

Tally tallies[kMaxThreads][kSiteCount];

namespace {

struct SiteName {
  const char* function;
  const char* kind;
};

constexpr SiteName kSites[] = {
#define HEAP_SITE(name, family) {#name, "heap"},
#define MMAP_SITE(name) {#name, "mmap"},
#include "sites.def"
#undef HEAP_SITE
#undef MMAP_SITE
};

/// Text in static memory, because stdio and std::string allocate.
class StaticText {
 public:
  __attribute__((format(printf, 2, 3))) void add(const char* format, ...) {
    std::va_list arguments;
    va_start(arguments, format);
    const int wrote = std::vsnprintf(text_ + size_, sizeof text_ - size_, format, arguments);
    va_end(arguments);
    if (wrote > 0 && size_ + static_cast<std::size_t>(wrote) < sizeof text_) {
      size_ += static_cast<std::size_t>(wrote);
    }
  }

  [[nodiscard]] bool write_to(const char* path) const {
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) return false;
    std::size_t done = 0;
    while (done < size_) {
      const ssize_t wrote = write(fd, text_ + done, size_ - done);
      if (wrote <= 0) break;
      done += static_cast<std::size_t>(wrote);
    }
    return close(fd) == 0 && done == size_;
  }

 private:
  std::size_t size_ = 0;
  char text_[64 * 1024] = {};
};

StaticText text;

Tally sum_of(int site) {
  Tally sum{};
  for (const auto& thread : tallies) {
    sum.acquired_count += thread[site].acquired_count;
    sum.acquired_bytes += thread[site].acquired_bytes;
    sum.released_count += thread[site].released_count;
    sum.released_bytes += thread[site].released_bytes;
  }
  return sum;
}

void add_counts(const char* name, std::uint64_t count, std::uint64_t bytes) {
  text.add(", \"%s\": {\"count\": %lu, \"bytes\": %lu}", name, count, bytes);
}

void add_site(int site) {
  const Tally sum = sum_of(site);
  text.add("%s\n  {\"function\": \"%s\", \"kind\": \"%s\"", site == 0 ? "" : ",",
           kSites[site].function, kSites[site].kind);
  add_counts("outstanding", sum.acquired_count - sum.released_count,
             sum.acquired_bytes - sum.released_bytes);
  add_counts("acquired", sum.acquired_count, sum.acquired_bytes);
  add_counts("released", sum.released_count, sum.released_bytes);
  text.add("}");
}

/// One line of /proc/self/maps: its size when it is "r--p" and anonymous, else 0.
std::uint64_t anonymous_read_only_bytes(const char* line) {
  unsigned long begin = 0, end = 0, inode = 0;
  char permissions[5] = {};
  int rest = 0;
  if (std::sscanf(line, "%lx-%lx %4s %*x %*s %lu%n", &begin, &end, permissions, &inode, &rest) <
      4) {
    return 0;
  }
  const bool named = std::strpbrk(line + rest, "[/") != nullptr;
  return inode == 0 && !named && std::strcmp(permissions, "r--p") == 0 ? end - begin : 0;
}

}  // namespace

bool write_truth(const char* path, const RunFacts& facts) {
  text.add("{\"seed\": %lu, \"threads\": %u, \"operations\": %lu,\n", facts.seed, facts.threads,
           facts.operations);
  text.add(
      " \"failed_calls\": %lu, \"unexpected_failures\": %lu, \"cross_thread_releases\": %lu,\n",
      facts.failed_calls, facts.unexpected_failures, facts.cross_thread_releases);
  text.add(" \"sites\": [");
  for (int site = 0; site < kSiteCount; ++site) add_site(site);
  text.add("\n]}\n");
  return text.write_to(path);
}

std::uint64_t mapped_bytes_by_truth() {
  std::uint64_t bytes = 0;
  for (int site = 0; site < kSiteCount; ++site) {
    if (std::strcmp(kSites[site].kind, "mmap") != 0) continue;
    const Tally sum = sum_of(site);
    bytes += sum.acquired_bytes - sum.released_bytes;
  }
  return bytes;
}

std::uint64_t mapped_bytes_by_kernel() {
  static char buffer[16 * 1024];
  const int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  std::uint64_t bytes = 0;
  std::size_t held = 0;
  ssize_t got = 0;
  while ((got = read(fd, buffer + held, sizeof buffer - 1 - held)) > 0) {
    held += static_cast<std::size_t>(got);
    buffer[held] = '\0';
    char* line = buffer;
    while (char* newline = std::strchr(line, '\n')) {
      *newline = '\0';
      bytes += anonymous_read_only_bytes(line);
      line = newline + 1;
    }
    held = static_cast<std::size_t>(buffer + held - line);
    std::memmove(buffer, line, held);
  }
  close(fd);
  return bytes;
}

}  // namespace exact_mix
