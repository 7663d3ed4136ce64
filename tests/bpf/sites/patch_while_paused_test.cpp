// SPDX-License-Identifier: Apache-2.0
// A process that patches a function while no probe is attached.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "tests/bpf/engine/hooked.h"
#include "tests/bpf/engine/traced_child.h"
#include "user/tracer/features.h"
#include "user/tracer/tracer.h"

namespace leaktrace::test {
namespace {

constexpr int kCalls = 10;

/// What the child says, shared with it.
struct Shared {
  std::atomic<int> replaced;
};
Shared* shared = nullptr;

void* replacement(void* handle, std::size_t) {
  ++shared->replaced;
  return handle;
}

// jmp *0(%rip), or ldr x16, #8; br x16; and the address behind it.
void patch(void* function, const void* target) {
#if defined(__x86_64__)
  constexpr unsigned char kJump[] = {0xff, 0x25, 0, 0, 0, 0};
#else
  constexpr unsigned char kJump[] = {0x50, 0, 0, 0x58, 0, 0x02, 0x1f, 0xd6};
#endif
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  auto* start = reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(function) & ~(page - 1));
  if (::mprotect(start, 2 * page, PROT_READ | PROT_WRITE | PROT_EXEC) != 0) ::_exit(1);
  std::memcpy(function, kJump, sizeof(kJump));
  std::memcpy(static_cast<char*>(function) + sizeof(kJump), &target, sizeof(target));
  __builtin___clear_cache(static_cast<char*>(function), static_cast<char*>(function) + 32);
  if (::mprotect(start, 2 * page, PROT_READ | PROT_EXEC) != 0) ::_exit(1);
}

/// The child's work: calls, then a patch, then calls.
void next_step() {
  static int step = 0;
  void* handle = shared;
  if (++step == 2) {
    patch(reinterpret_cast<void*>(&hooked_outer_acquire),
          reinterpret_cast<const void*>(&replacement));
    return;
  }
  for (int i = 0; i < kCalls; ++i) hooked_outer_acquire(handle, 10);
}

TEST(PatchWhilePaused, LeavesTheFunctionOut) {
  if (::geteuid() != 0) GTEST_SKIP() << "probes need root";
  shared = static_cast<Shared*>(
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(shared, MAP_FAILED);
  Child child(next_step);
  std::vector<std::string> losses;
  tracer::TracerOptions options;
  options.limits.live = 1024;
  options.rows = hooked_rows();
  if (tracer::multi_probes_work()) options.mode = tracer::ProbeMode::multi;
  auto tracer = tracer::Tracer::create(
      std::move(options),
      {.on_image = [](std::uint32_t, const tracer::ProcessInfo&) {},
       .on_module = [](const tracer::Module&) {},
       .on_unwind_loss = [](const tracer::UnwindLoss&) {},
       .on_probe_loss = [&](const tracer::ProbeLoss& loss) { losses.push_back(loss.why); },
       .on_python = {}});
  ASSERT_TRUE(tracer) << tracer.error().message();
  ASSERT_TRUE((*tracer)->attach(child.pid()));
  ASSERT_TRUE(child.work());
  EXPECT_EQ(shared->replaced, 0);
  EXPECT_THAT(losses, testing::IsEmpty());

  (*tracer)->pause();
  ASSERT_TRUE(child.work());  // patches
  auto resumed = (*tracer)->resume();
  ASSERT_TRUE(resumed) << resumed.error().message();
  ASSERT_TRUE(child.work());
  EXPECT_EQ(shared->replaced, kCalls);
  EXPECT_THAT(losses, testing::ElementsAre("hooked_outer_acquire: patched in memory"));
  child.end();
  ::munmap(shared, sizeof(Shared));
}

}  // namespace
}  // namespace leaktrace::test
