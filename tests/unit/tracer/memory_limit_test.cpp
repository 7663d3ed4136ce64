// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/memory_limit.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace leaktrace::tracer {
namespace {

constexpr std::uint64_t kMiB = 1024 * 1024;

/// A machine of 1 GiB and 256 MiB of swap of which 512 MiB are used, as files in a folder.
class AMachine : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/leaktrace-limits-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    root_ = name;
    write("/proc/meminfo",
          "MemTotal:        1048576 kB\nMemFree:  1 kB\nMemAvailable:     600000 kB\n"
          "SwapTotal:        262144 kB\nSwapFree:         186432 kB\n");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  void mount(const std::string& line) { write("/proc/self/mountinfo", line); }
  void process(const std::string& cgroups) { write("/proc/7/cgroup", cgroups); }
  void limit(const std::string& folder, const std::string& max, std::uint64_t current,
             std::uint64_t inactive_file = 0) {
    write(folder + "/memory.max", max + '\n');
    write(folder + "/memory.current", std::to_string(current) + '\n');
    write(folder + "/memory.stat",
          "anon 1\ninactive_file " + std::to_string(inactive_file) + "\nactive_file 5\n");
  }
  [[nodiscard]] std::optional<MemoryLimit> found() const { return MemoryLimits(root_).of(7); }

  std::string root_;
};

constexpr const char* kUnified =
    "25 1 0:22 / /proc rw - proc proc rw\n"
    "30 24 0:27 / /sys/fs/cgroup rw,nosuid shared:9 master:1 - cgroup2 cgroup2 rw\n";

TEST_F(AMachine, WithoutCgroupsIsTheLimit) {
  const auto limit = found();
  ASSERT_TRUE(limit);
  EXPECT_EQ(limit->cgroup, "");
  EXPECT_EQ(limit->bytes, 1280 * kMiB);
  EXPECT_EQ(limit->used_bytes, (1048576U + 262144 - 600000 - 186432) * 1024);
}

TEST_F(AMachine, IsTheLimitWhereTheCgroupHasNone) {
  mount(kUnified);
  process("0::/system.slice/a.service\n");
  limit("/sys/fs/cgroup/system.slice/a.service", "max", kMiB);
  const auto limit = found();
  ASSERT_TRUE(limit);
  EXPECT_EQ(limit->cgroup, "");
}

TEST_F(AMachine, IsNotTheLimitWhereTheCgroupHasLessLeft) {
  mount(kUnified);
  process("0::/system.slice/a b.service\n");
  limit("/sys/fs/cgroup/system.slice/a b.service", std::to_string(100 * kMiB), 60 * kMiB,
        20 * kMiB);
  const auto limit = found();
  ASSERT_TRUE(limit);
  EXPECT_EQ(limit->cgroup, "/system.slice/a b.service");
  EXPECT_EQ(limit->bytes, 100 * kMiB);
  EXPECT_EQ(limit->used_bytes, 40 * kMiB);  // the kernel drops inactive files before it kills
}

TEST_F(AMachine, LetsACgroupAboveBoundWhatIsInIt) {
  mount(kUnified);
  process("0::/pod/container\n");
  limit("/sys/fs/cgroup/pod/container", std::to_string(200 * kMiB), 10 * kMiB);
  limit("/sys/fs/cgroup/pod", std::to_string(300 * kMiB), 250 * kMiB);
  const auto limit = found();
  ASSERT_TRUE(limit);
  EXPECT_EQ(limit->cgroup, "/pod");
}

TEST_F(AMachine, WhoseCgroupIsFullOfFilesThatCanBeDropped) {
  mount(kUnified);
  process("0::/a\n");
  limit("/sys/fs/cgroup/a", std::to_string(kMiB), 3 * kMiB, 9 * kMiB);
  const auto limit = found();
  ASSERT_TRUE(limit);
  EXPECT_EQ(limit->cgroup, "/a");
  EXPECT_EQ(limit->used_bytes, 0U);
}

TEST_F(AMachine, WithCgroupsOfVersion1) {
  mount(
      "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
      "36 31 0:33 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n");
  process("9:cpu:/elsewhere\n4:hugetlb,memory:/docker/1\n0::/\n");
  const std::string folder = "/sys/fs/cgroup/memory/docker/1";
  write(folder + "/memory.limit_in_bytes", std::to_string(64 * kMiB));
  write(folder + "/memory.usage_in_bytes", std::to_string(60 * kMiB));
  write(folder + "/memory.stat", "inactive_file 1\ntotal_inactive_file 1048576\n");
  write("/sys/fs/cgroup/memory/docker/memory.limit_in_bytes", "9223372036854771712\n");
  write("/sys/fs/cgroup/memory/docker/memory.usage_in_bytes", "5\n");
  const auto limit = found();
  ASSERT_TRUE(limit);
  EXPECT_EQ(limit->cgroup, "/docker/1");
  EXPECT_EQ(limit->used_bytes, 59 * kMiB);
}

TEST_F(AMachine, SeenFromAContainer) {
  // The container's own cgroup is mounted, as the whole of what it sees.
  mount("30 24 0:27 /pod/c1 /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
  process("0::/pod/c1/app\n");
  limit("/sys/fs/cgroup", std::to_string(100 * kMiB), 90 * kMiB);
  limit("/sys/fs/cgroup/app", "max", 90 * kMiB);
  const auto limit = found();
  ASSERT_TRUE(limit);
  EXPECT_EQ(limit->cgroup, "/pod/c1");
}

TEST_F(AMachine, DoesNotMixUpCgroupsThatCannotBeSeen) {
  mount("30 24 0:27 /pod/c1 /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
  limit("/sys/fs/cgroup", std::to_string(100 * kMiB), 90 * kMiB);
  limit("/sys/fs/cgroup/0", std::to_string(100 * kMiB), 90 * kMiB);
  for (const char* other : {"0::/pod/c10\n", "0::/../c2\n", "0::/\n", "0::\n", "nonsense\n", ""}) {
    SCOPED_TRACE(other);
    process(other);
    const auto limit = found();
    ASSERT_TRUE(limit);
    EXPECT_EQ(limit->cgroup, "");
  }
}

TEST_F(AMachine, ThatSaysNothingHasNoLimit) {
  std::filesystem::remove(root_ + "/proc/meminfo");
  EXPECT_FALSE(found());
}

TEST(MemoryLimits, OfThisProcessIsOneThatHoldsIt) {
  const auto limit = MemoryLimits().of(::getpid());
  ASSERT_TRUE(limit);
  EXPECT_GT(limit->bytes, 0U);
  EXPECT_GT(limit->used_bytes, 0U);
  EXPECT_LE(limit->used_bytes, limit->bytes);
}

}  // namespace
}  // namespace leaktrace::tracer
