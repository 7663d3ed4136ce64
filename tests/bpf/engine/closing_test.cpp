// SPDX-License-Identifier: Apache-2.0
// The moment in which probes are taken away: not all go at once, so the return of a call may stay
// unseen while other functions are still probed. That is no call left by an exception.
#include <bpf/bpf.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <iterator>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "tests/bpf/engine/hooked.h"
#include "tests/bpf/engine/traced_child.h"
#include "user/tracer/elf_image.h"
#include "user/tracer/engine.h"
#include "user/tracer/link_keeper.h"

namespace leaktrace::test {
namespace {

using tracer::Engine;
using tracer::EngineProgram;
using tracer::Link;
using tracer::LinkKeeper;

void* at(std::uintptr_t address) {
  return reinterpret_cast<void*>(address);
}

std::uint64_t abandoned_calls(const Engine& engine) {
  const std::uint32_t cause = LT_LOSS_ABANDONED_CALL;
  std::vector<std::uint64_t> by_cpu(static_cast<std::size_t>(libbpf_num_possible_cpus()));
  EXPECT_EQ(bpf_map_lookup_elem(engine.maps().losses, &cause, by_cpu.data()), 0);
  return std::accumulate(by_cpu.begin(), by_cpu.end(), std::uint64_t{0});
}

/// The entries of two functions are probed, and no return: as when the probes on returns went
/// first.
class ClosingTest : public testing::Test {
 protected:
  void trace() {
    Dl_info library{};
    ASSERT_NE(::dladdr(reinterpret_cast<void*>(&hooked_acquire), &library), 0);
    file_ = UniqueFd(::open(library.dli_fname, O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(file_);
    const std::vector<std::string> names{"hooked_acquire", "hooked_replace"};
    auto image = tracer::ElfImage::read(file_.get(), names);
    ASSERT_TRUE(image) << image.error().message();
    auto keeper = LinkKeeper::create(false);
    ASSERT_TRUE(keeper) << keeper.error().message();
    keeper_ = std::move(*keeper);
    auto engine = Engine::load({}, rows_, tracer::ProbeMode::single);
    ASSERT_TRUE(engine) << engine.error().message();
    engine_ = std::make_unique<Engine>(std::move(*engine));
    ASSERT_TRUE(engine_->give_links_to(*keeper_));
    ASSERT_TRUE(
        engine_->set_process(child_.pid(), {.image = 1, .flags = 0, .unloads = 0, .reserved = 0}));
    for (const std::string& name : names) probe_entry(*image, name);
    ASSERT_TRUE(keeper_->open_window());
  }

  // These probes are none that go with the window.
  void close_window() {
    keeper_->order(tracer::KeeperOrder::close_window);
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (keeper_->state().window != tracer::WindowState::closed) {
      ASSERT_LT(std::chrono::steady_clock::now(), until);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  void probe_entry(const tracer::ElfImage& image, const std::string& name) {
    const tracer::FunctionSymbol* function = find_function(image, name);
    ASSERT_NE(function, nullptr);
    const auto row = std::ranges::find(rows_, name, &catalog::Row::symbol) - rows_.begin();
    auto links = engine_->attach(EngineProgram::call_entered, child_.pid(), file_.get(),
                                 {{function->file_offset}, {static_cast<std::uint64_t>(row)}});
    ASSERT_TRUE(links) << links.error().message();
    std::ranges::move(*links, std::back_inserter(links_));
  }

  std::vector<catalog::Row> rows_ = hooked_rows();
  Child child_{[] {
    hooked_acquire(at(64), 10);
    hooked_replace(nullptr, 10, at(128));
  }};
  UniqueFd file_;
  std::unique_ptr<LinkKeeper> keeper_;
  std::unique_ptr<Engine> engine_;
  std::vector<Link> links_;
};

TEST_F(ClosingTest, AReturnThatIsNotSeenInAnOpenWindowIsALoss) {
  trace();
  ASSERT_TRUE(child_.work());
  EXPECT_EQ(abandoned_calls(*engine_), 1U);
}

TEST_F(ClosingTest, AReturnThatIsNotSeenBecauseItsProbeWentIsNone) {
  trace();
  ASSERT_TRUE(child_.work());  // the last call, of hooked_replace, is under way, so to speak
  close_window();
  ASSERT_TRUE(child_.work());
  EXPECT_EQ(abandoned_calls(*engine_), 1U);
}

TEST_F(ClosingTest, NeitherIsOneAtTheEndOfTheTrace) {
  trace();
  ASSERT_TRUE(child_.work());
  keeper_->end_windows();
  ASSERT_TRUE(child_.work());
  EXPECT_EQ(abandoned_calls(*engine_), 1U);
}

}  // namespace
}  // namespace leaktrace::test
