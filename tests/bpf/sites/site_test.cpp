// SPDX-License-Identifier: Apache-2.0
// Probes at the chosen sites beside probes at the first bytes, in a process that uses real
// allocators: both must see the same calls, with the same arguments and the same stack.
#include <bpf/libbpf.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "tests/bpf/sites/site_counter.h"

// After the types that it uses.
#include <site_counter.skel.h>

#include "user/base/unique_fd.h"
#include "user/catalog/row.h"
#include "user/tracer/features.h"
#include "user/tracer/hooks.h"
#include "user/tracer/link.h"
#include "user/tracer/procfs.h"
#include "user/tracer/site_trial.h"

namespace leaktrace::test {
namespace {

using tracer::Hook;
using tracer::Link;
using tracer::Module;

struct SkeletonDeleter {
  void operator()(site_counter_bpf* skeleton) const { site_counter_bpf__destroy(skeleton); }
};
using Skeleton = std::unique_ptr<site_counter_bpf, SkeletonDeleter>;

constexpr auto kUprobeMulti = static_cast<bpf_attach_type>(48);

/// Which of the 3 probes of a function; the cookie's low half is 3 * hook + this.
enum Probe : unsigned { at_entry = 0, at_site = 1, at_return = 2 };

/// The probes of one file in one process, all at once or one by one.
class SiteCounter {
 public:
  SiteCounter(const Module& module, pid_t pid) : module_(module), pid_(pid) {
    multi_ = tracer::multi_probes_work();
    skeleton_.reset(site_counter_bpf__open());
    if (multi_) {
      for (auto* program : {skeleton_->progs.count_hit, skeleton_->progs.count_return}) {
        bpf_program__set_expected_attach_type(program, kUprobeMulti);
      }
    }
    if (site_counter_bpf__load(skeleton_.get()) != 0) skeleton_.reset();
  }

  [[nodiscard]] bool is_loaded() const { return skeleton_ != nullptr; }

  void attach(const std::vector<Hook>& hooks, Probe probe, bool needs_return) {
    std::vector<unsigned long> offsets;
    std::vector<__u64> cookies;
    for (std::size_t i = 0; i < hooks.size(); ++i) {
      const auto& site = hooks[i].site;
      if (probe == at_return && !needs_return_[i]) continue;
      offsets.push_back(probe == at_entry ? site.entry : site.offset);
      const __u64 pushed = probe == at_site ? site.pushed : 0;
      cookies.push_back((3 * i + probe) | pushed << 32);
    }
    attach_all(probe == at_return ? skeleton_->progs.count_return : skeleton_->progs.count_hit,
               offsets, cookies, needs_return);
  }

  void set_needs_return(std::vector<bool> needs) { needs_return_ = std::move(needs); }

  [[nodiscard]] const site_hits& hits(std::size_t hook, Probe probe) const {
    return skeleton_->bss->hits[3 * hook + probe];
  }

 private:
  void attach_all(const bpf_program* program, const std::vector<unsigned long>& offsets,
                  const std::vector<__u64>& cookies, bool on_return) {
    if (offsets.empty()) return;
    if (multi_) {
      LIBBPF_OPTS(bpf_uprobe_multi_opts, options, .offsets = offsets.data(),
                  .cookies = cookies.data(), .cnt = offsets.size(), .retprobe = on_return);
      Link link(
          bpf_program__attach_uprobe_multi(program, pid_, module_.path.c_str(), nullptr, &options));
      ASSERT_TRUE(link) << strerror(errno);
      links_.push_back(std::move(link));
      return;
    }
    for (std::size_t i = 0; i < offsets.size(); ++i) {
      LIBBPF_OPTS(bpf_uprobe_opts, options, .bpf_cookie = cookies[i], .retprobe = on_return);
      Link link(bpf_program__attach_uprobe_opts(program, pid_, module_.path.c_str(), offsets[i],
                                                &options));
      ASSERT_TRUE(link) << strerror(errno);
      links_.push_back(std::move(link));
    }
  }

  const Module& module_;
  pid_t pid_;
  bool multi_ = false;
  std::vector<bool> needs_return_;
  Skeleton skeleton_;
  std::vector<Link> links_;
};

std::vector<std::string> symbols_of(const std::vector<catalog::Row>& rows) {
  std::vector<std::string> names;
  for (const auto& row : rows) names.push_back(row.symbol);
  return names;
}

/// A process that uses an allocator when it is told to, and ends with status 0.
class AllocatorUser {
 public:
  /// `preload`: a library that takes malloc's place; empty: none.
  explicit AllocatorUser(const std::string& preload) {
    std::array<int, 2> to{};
    std::array<int, 2> from{};
    EXPECT_EQ(::pipe2(to.data(), O_CLOEXEC), 0);
    EXPECT_EQ(::pipe2(from.data(), O_CLOEXEC), 0);
    const UniqueFd child_in(to[0]);
    const UniqueFd child_out(from[1]);
    go_.reset(to[1]);
    const UniqueFd ready(from[0]);
    const std::string environment = "LD_PRELOAD=" + preload;
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(child_in.get(), STDIN_FILENO);
      ::dup2(child_out.get(), STDOUT_FILENO);
      const std::array<const char*, 2> words = {environment.c_str(), nullptr};
      ::execle(ALLOCATOR_USER, ALLOCATOR_USER, nullptr, words.data());
      ::_exit(127);
    }
    char byte = 0;
    EXPECT_EQ(::read(ready.get(), &byte, 1), 1);
  }
  AllocatorUser(const AllocatorUser&) = delete;
  AllocatorUser& operator=(const AllocatorUser&) = delete;
  ~AllocatorUser() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
  }

  [[nodiscard]] pid_t pid() const { return pid_; }

  /// The path of a library that it has mapped; empty when it has not.
  [[nodiscard]] std::string path_of(const std::string& library) const {
    auto maps = tracer::read_maps(pid_);
    if (!maps) return {};
    for (const auto& mapping : *maps) {
      if (mapping.executable && mapping.path.find(library) != std::string::npos) {
        return mapping.path;
      }
    }
    return {};
  }

  [[nodiscard]] int run() {
    EXPECT_EQ(::write(go_.get(), "g", 1), 1);
    int status = -1;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return status;
  }

 private:
  pid_t pid_ = -1;
  UniqueFd go_;
};

Module open_module(const std::string& path, const std::vector<catalog::Row>& rows) {
  Module module;
  module.path = path;
  module.fd = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  auto image = tracer::ElfImage::read(module.fd.get(), symbols_of(rows));
  EXPECT_TRUE(image);
  if (image) module.image = std::move(*image);
  return module;
}

std::vector<catalog::Row> all_rows() {
  const auto rows = catalog::memory_rows();
  return {rows.begin(), rows.end()};
}

class Sites : public testing::TestWithParam<const char*> {};

TEST_P(Sites, SeeTheCallsThatTheFirstBytesSee) {
  if (::geteuid() != 0) GTEST_SKIP() << "probes need root";
  const std::string library = GetParam();
  AllocatorUser user(library == "libc.so.6" ? "" : library);
  const std::string path = user.path_of(library);
  if (path.empty()) GTEST_SKIP() << library << " is not installed";
  const auto rows = all_rows();
  const Module module = open_module(path, rows);
  tracer::ElfReader reader;
  const auto hooks = tracer::find_hooks(rows, module, reader, tracer::site_trial().emulated);
  ASSERT_GE(hooks.size(), 8U);
  ASSERT_LE(3 * hooks.size(), std::size_t{SITE_COUNTER_PROBES});

  SiteCounter counter(module, user.pid());
  ASSERT_TRUE(counter.is_loaded());
  std::vector<bool> needs_return;
  for (const Hook& hook : hooks) needs_return.push_back(rows[hook.row].needs_return());
  counter.set_needs_return(needs_return);
  counter.attach(hooks, at_return, true);
  counter.attach(hooks, at_entry, false);
  counter.attach(hooks, at_site, false);
  ASSERT_EQ(user.run(), 0);

  std::uint64_t calls = 0;
  for (std::size_t i = 0; i < hooks.size(); ++i) {
    const std::string& name = rows[hooks[i].row].symbol;
    const site_hits& entry = counter.hits(i, at_entry);
    const site_hits& site = counter.hits(i, at_site);
    calls += entry.count;
    EXPECT_EQ(site.count, entry.count) << name;
    EXPECT_EQ(site.stack_pointer, entry.stack_pointer) << name;
    const std::uint32_t needed = tracer::needs_of(rows[hooks[i].row]).arguments;
    for (unsigned j = 0; j < 4; ++j) {
      if ((needed & (1U << j)) == 0) continue;
      EXPECT_EQ(site.argument[j], entry.argument[j]) << name << ", argument " << j;
    }
    EXPECT_EQ(counter.hits(i, at_return).count, needs_return[i] ? entry.count : 0) << name;
  }
  EXPECT_GT(calls, 100U);
}

INSTANTIATE_TEST_SUITE_P(Of, Sites,
                         testing::Values("libc.so.6", "libjemalloc.so.2",
                                         "libtcmalloc_minimal.so.4"),
                         [](const auto& library) {
                           const std::string name = library.param;
                           return name.substr(0, name.find('.'));
                         });

// The one that began it all: test rdi, rdi; je.
TEST(GlibcSites, FreeIsProbedAtItsBranch) {
  const auto rows = all_rows();
  Dl_info libc{};
  ASSERT_NE(::dladdr(reinterpret_cast<void*>(&::free), &libc), 0);
  const Module module = open_module(libc.dli_fname, rows);
  tracer::ElfReader reader;
  const auto hooks = tracer::find_hooks(rows, module, reader, tracer::always_emulated());
  const auto free = std::ranges::find_if(
      hooks, [&](const Hook& hook) { return rows[hook.row].symbol == "free"; });
  ASSERT_NE(free, hooks.end());
  if (free->site.passed_over.empty()) GTEST_SKIP() << "free begins with an emulated instruction";
  EXPECT_TRUE(free->site.emulated) << free->site.why_entry;
  EXPECT_THAT(free->site.instruction, testing::StartsWith("j"));
  EXPECT_GT(free->site.offset, free->site.entry);
}

}  // namespace
}  // namespace leaktrace::test
