// SPDX-License-Identifier: Apache-2.0
//
// A simulated program: sites acquire at random and release after a known lifetime; acquisitions and
// releases are seen in windows only. What the model then makes of the table is compared with the
// truth. Random numbers are seeded, and bounds wide: chance is part of the subject.
#include "user/collect/survival.h"

#include <array>
#include <cmath>
#include <limits>
#include <random>

#include <gtest/gtest.h>

namespace leaktrace::collect {
namespace {

using Random = std::mt19937_64;
using Lifetime = std::function<double(Random&)>;  // seconds

constexpr double kNever = std::numeric_limits<double>::infinity();

double exponential(Random& random, double mean) {
  return -mean * std::log1p(-static_cast<double>(random() >> 11) * 0x1p-53);
}

Lifetime around(double mean) {
  return [mean](Random& random) { return exponential(random, mean); };
}

Lifetime always(double seconds) {
  return [seconds](Random&) { return seconds; };
}

std::uint64_t nanoseconds(double seconds) {
  return static_cast<std::uint64_t>(seconds * 1e9);
}

struct SimulatedBlock {
  double acquired = 0;
  double released = 0;
};

struct SimulatedSite {
  model::SiteKey key;
  double per_second = 0;
  Lifetime lifetime;
  double bytes = 64;
  std::vector<SimulatedBlock> table{};
  lt_site_lifetimes seen{};
  double acquired = 0;

  void release(const SimulatedBlock& block, bool within) {
    const std::size_t age = age_class_of((block.released - block.acquired) * 1e9);
    (within ? seen.within[age] : seen.across[age])++;
  }

  void run_window(double from, double to, Random& random) {
    seen = {};
    std::vector<SimulatedBlock> kept;
    for (const SimulatedBlock& block : table) {
      const bool is_seen = block.released >= from && block.released < to;
      is_seen ? release(block, false) : kept.push_back(block);
    }
    for (double at = from + exponential(random, 1 / per_second); at < to;
         at += exponential(random, 1 / per_second)) {
      acquired++;
      const SimulatedBlock block{at, at + lifetime(random)};
      block.released < to ? release(block, true) : kept.push_back(block);
    }
    table = std::move(kept);
  }

  [[nodiscard]] double alive_at(double now) const {
    double alive = 0;
    for (const SimulatedBlock& block : table) alive += block.released > now;
    return alive;
  }
};

struct Plan {
  double window = 0.2;  // seconds
  double duty = 0.1;
  double seconds = 600;
  bool varied = true;  // blind periods of random length
};

class Simulation {
 public:
  explicit Simulation(std::uint64_t seed) : random_(seed) {}

  std::size_t add(double per_second, Lifetime lifetime) {
    const model::SiteKey key{{100 + sites_.size()}, {1}, model::Kind::heap};
    sites_.push_back({.key = key, .per_second = per_second, .lifetime = std::move(lifetime)});
    return sites_.size() - 1;
  }

  void run(const Plan& plan) {
    const double blind = plan.window * (1 - plan.duty) / plan.duty;
    for (double from = now_ + blind; from < plan.seconds;) {
      now_ = from + plan.window;
      run_window(from, now_);
      from = now_ + (plan.varied ? exponential(random_, blind) : blind);
    }
    model_.estimate(nanoseconds(now_), nanoseconds(now_), walk());
  }

  [[nodiscard]] double outstanding(std::size_t site) const {
    const SimulatedSite& of = sites_.at(site);
    return static_cast<double>(of.table.size()) - model_.unseen(of.key).count;
  }
  [[nodiscard]] double alive(std::size_t site) const { return sites_.at(site).alive_at(now_); }
  [[nodiscard]] double acquired(std::size_t site) const { return sites_.at(site).acquired; }
  [[nodiscard]] double deviation(std::size_t site) const {
    return std::sqrt(model_.unseen(sites_.at(site).key).count_variance);
  }
  SurvivalModel& model() { return model_; }
  [[nodiscard]] const SimulatedSite& site(std::size_t index) const { return sites_.at(index); }
  [[nodiscard]] double now() const { return now_; }
  [[nodiscard]] LiveWalk walk() const {
    return [this](const std::function<void(const LiveBlock&)>& visit) {
      for (const SimulatedSite& site : sites_) {
        for (const SimulatedBlock& block : site.table) {
          visit({site.key, nanoseconds(block.acquired), 1, site.bytes});
        }
      }
    };
  }

 private:
  void run_window(double from, double to) {
    std::vector<SiteLifetimes> released;
    for (SimulatedSite& site : sites_) {
      site.run_window(from, to, random_);
      released.push_back({site.key, site.seen});
    }
    model_.end_window({nanoseconds(from), nanoseconds(to)}, walk(), released);
  }

  Random random_;
  SurvivalModel model_;
  std::vector<SimulatedSite> sites_;
  double now_ = 1;
};

constexpr std::array<Plan, 5> kPlans{{{.window = 0.05, .duty = 0.02},
                                      {.window = 0.1, .duty = 0.05},
                                      {.window = 0.2, .duty = 0.1},
                                      {.window = 1, .duty = 0.1},
                                      {.window = 0.2, .duty = 0.5, .seconds = 120}}};

// What is left of a site that releases all, beyond what is in use, as a share of what it acquired.
double false_leak(const Lifetime& lifetime, double per_second, const Plan& plan,
                  std::uint64_t seed) {
  Simulation simulation(seed);
  const std::size_t site = simulation.add(per_second, lifetime);
  simulation.run(plan);
  return (simulation.outstanding(site) - simulation.alive(site)) / simulation.acquired(site);
}

TEST(Survival, BlocksThatAreReleasedWithinAWindowAreNoLeak) {
  for (const Plan& plan : kPlans) {
    for (std::uint64_t seed = 1; seed <= 3; seed++) {
      EXPECT_LT(false_leak(around(0.001), 100, plan, seed), 0.002)
          << plan.window << " s, duty " << plan.duty << ", seed " << seed;
      EXPECT_LT(false_leak(around(0.02), 100, plan, seed), 0.02)
          << plan.window << " s, duty " << plan.duty << ", seed " << seed;
    }
  }
}

// On average over runs: one in which hardly a release was seen may say more.
TEST(Survival, BlocksThatLiveForManyBlindPeriodsAreNoLeak) {
  const std::array<Lifetime, 5> lifetimes{around(0.05), around(1), around(5), always(5),
                                          around(60)};
  for (const Lifetime& lifetime : lifetimes) {
    double sum = 0;
    for (std::uint64_t seed = 1; seed <= 3; seed++) {
      sum += false_leak(lifetime, 20, {.window = 0.2, .duty = 0.1}, seed);
    }
    EXPECT_LT(sum / 3, 0.05);
  }
}

TEST(Survival, FindsALeakWhateverTheShareOfTime) {
  for (const Plan& plan : kPlans) {
    Simulation simulation(7);
    const std::size_t leak = simulation.add(20, always(kNever));
    simulation.run(plan);
    EXPECT_GT(simulation.outstanding(leak), 0.75 * simulation.alive(leak)) << plan.duty;
    EXPECT_LE(simulation.outstanding(leak), simulation.alive(leak)) << plan.duty;
  }
}

TEST(Survival, TheTruthOfALeakLiesWithinItsInterval) {
  for (std::uint64_t seed = 1; seed <= 4; seed++) {
    Simulation simulation(seed);
    const std::size_t leak = simulation.add(2, always(kNever));
    simulation.run({.window = 0.2, .duty = 0.1});
    EXPECT_NEAR(simulation.outstanding(leak), simulation.alive(leak),
                3 * simulation.deviation(leak) + 1);
  }
}

TEST(Survival, FindsASmallLeakBesideBusySites) {
  Simulation simulation(3);
  const std::size_t quick = simulation.add(80, around(0.001));
  const std::size_t session = simulation.add(20, around(5));
  const std::size_t leak = simulation.add(1, always(kNever));
  simulation.run({.window = 0.2, .duty = 0.1});
  EXPECT_GT(simulation.outstanding(leak), 0.7 * simulation.alive(leak));
  EXPECT_NEAR(simulation.outstanding(quick), simulation.alive(quick), 3);
  EXPECT_LT(simulation.outstanding(session), 0.05 * simulation.acquired(session));
}

TEST(Survival, FindsALeakAtASiteThatAlsoReleasesWithinAWindow) {
  Simulation simulation(5);
  const std::size_t site = simulation.add(
      100, [](Random& random) { return random() % 50 == 0 ? kNever : exponential(random, 0.05); });
  simulation.run({.window = 1, .duty = 0.1});
  EXPECT_GT(simulation.outstanding(site), 0.5 * simulation.alive(site));
  EXPECT_LT(simulation.outstanding(site), 1.5 * simulation.alive(site));
}

// All at once, all back half a minute later, over and over.
TEST(Survival, ABatchIsNoLeak) {
  double sum = 0;
  for (std::uint64_t seed = 1; seed <= 3; seed++) {
    sum += false_leak(always(30), 20, {.window = 0.2, .duty = 0.1}, seed);
  }
  EXPECT_LT(sum / 3, 0.05);
}

TEST(Survival, ThreeBlocksThatWereInUseAreNoLeak) {
  Simulation simulation(11);
  simulation.add(100, around(0.02));
  const std::size_t rare = simulation.add(0.05, around(0.02));
  simulation.run({.window = 0.2, .duty = 0.1});

  // Acquired just before the newest window's end at a site that nothing is known of.
  const model::SiteKey unknown{{999}, {1}, model::Kind::heap};
  SurvivalModel& model = simulation.model();
  const std::uint64_t end = nanoseconds(simulation.now());
  const std::uint64_t later = end + nanoseconds(20);
  model.estimate(later, later, [&](const std::function<void(const LiveBlock&)>& visit) {
    for (int i = 1; i <= 3; i++) visit({unknown, end - nanoseconds(0.005 * i), 1, 64});
  });
  EXPECT_GT(model.unseen(unknown).count, 2);
  EXPECT_GT(model.unseen(unknown).bytes, 2 * 64);
  EXPECT_LE(simulation.outstanding(rare), 1);
}

TEST(Survival, NothingIsPresumedReleasedBeforeABlindPeriod) {
  SurvivalModel model;
  const model::SiteKey key{{5}, {1}, model::Kind::heap};
  const auto live = [&](const std::function<void(const LiveBlock&)>& visit) {
    visit({key, 1'000'000'000, 10, 640});
  };
  model.estimate(9'000'000'000, 0, live);
  EXPECT_EQ(model.unseen(key).count, 0);
  SiteLifetimes seen{key, {}};
  seen.released.within[3] = 1000;
  model.end_window({500'000'000, 9'000'000'000}, live, {&seen, 1});
  model.estimate(9'000'000'000, 9'000'000'000, live);
  EXPECT_EQ(model.unseen(key).count, 0);
  EXPECT_EQ(model.unseen(key).count_variance, 0);
}

TEST(Survival, BlocksAcquiredInTheOpenWindowAreAlive) {
  Simulation simulation(2);
  const std::size_t site = simulation.add(50, around(0.01));
  simulation.run({.window = 0.2, .duty = 0.1, .seconds = 60});
  const std::uint64_t open = nanoseconds(simulation.now() + 5);
  const model::SiteKey key = simulation.site(site).key;
  simulation.model().estimate(open + nanoseconds(1), open,
                              [&](const std::function<void(const LiveBlock&)>& visit) {
                                visit({key, open + 1000, 1, 64});
                                visit({key, open - nanoseconds(5.001), 1, 64});
                              });
  EXPECT_NEAR(simulation.model().unseen(key).count, 1, 0.05);
}

TEST(Survival, AWindowWithoutCountsTeachesNothing) {
  SurvivalModel model;
  const model::SiteKey key{{5}, {1}, model::Kind::heap};
  model.end_uncounted_window({0, 10'000'000'000});
  EXPECT_EQ(model.sites(), 0U);
  model.estimate(60'000'000'000, 60'000'000'000,
                 [&](const std::function<void(const LiveBlock&)>& visit) {
                   visit({key, 9'000'000'000, 1, 64});
                 });
  EXPECT_GT(model.unseen(key).count, 0.1);   // not known to be alive
  EXPECT_LT(model.unseen(key).count, 0.95);  // nor to be released
}

TEST(Survival, AnExitedProcessKeepsItsEstimate) {
  Simulation simulation(4);
  const std::size_t site = simulation.add(50, around(5));
  simulation.run({.window = 0.2, .duty = 0.1, .seconds = 60});
  const double outstanding = simulation.outstanding(site);
  simulation.model().image_exited({1});
  const std::uint64_t later = nanoseconds(simulation.now() + 1000);
  simulation.model().end_window({later, later + 1}, simulation.walk(), {});
  simulation.model().estimate(later + 1, later + 1, simulation.walk());
  EXPECT_EQ(simulation.outstanding(site), outstanding);
}

TEST(Survival, ForgetsSitesAndImages) {
  Simulation simulation(6);
  simulation.add(50, around(0.01));
  simulation.add(50, around(1));
  simulation.run({.window = 0.2, .duty = 0.1, .seconds = 60});
  EXPECT_EQ(simulation.model().sites(), 2U);
  simulation.model().forget(simulation.site(0).key);
  EXPECT_EQ(simulation.model().sites(), 1U);
  EXPECT_EQ(simulation.model().unseen(simulation.site(0).key).count, 0);
  simulation.model().image_ended({1});
  EXPECT_EQ(simulation.model().sites(), 0U);
}

}  // namespace
}  // namespace leaktrace::collect
