// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <memory>
#include <numbers>

#include "tests/series/parts.h"

namespace leaktrace::series {
namespace {

std::uint64_t whole(double value) {
  return value <= 0 ? 0 : static_cast<std::uint64_t>(value);
}

std::vector<Pattern> caches() {
  return {
      {"cache_fast", false, 300, 1,
       [](Site& site, double) {
         const double limit = site.random.uniform(5e3, 50e3);
         return Step([=](Site& s, double, double dt) {
           const auto room = whole(limit) - s.count();
           s.acquire(std::min(room, s.random.poisson(limit / 10 * dt)), 1500);
           const std::uint64_t turned = s.random.poisson(100 * dt);
           s.acquire(turned, 1500);
           s.release(turned, 1500);
         });
       }},
      {"cache_slow_then_full", false, 3600, 1,
       [](Site& site, double seconds) {
         const double full = seconds * site.random.uniform(0.3, 0.6);
         return Step([=](Site& s, double, double dt) {
           const auto room = 20000 - std::min<std::uint64_t>(20000, s.count());
           s.acquire(std::min(room, s.random.poisson(20000 / full * dt)), 2000);
         });
       }},
      {"cache_exponential", false, 3600, 1,
       [](Site& site, double seconds) {
         const double tau = seconds / site.random.uniform(4, 8);
         return Step([=](Site& s, double, double dt) {
           const double missing = 30000.0 - static_cast<double>(s.count());
           s.acquire(s.random.poisson(missing / tau * dt), 1000);
         });
       }},
      {"cache_exponential_watched_early", false, 3600, 1,
       [](Site& site, double seconds) {
         const double tau = seconds / site.random.uniform(2, 4);
         return Step([=](Site& s, double, double dt) {
           const double missing = 30000.0 - static_cast<double>(s.count());
           s.acquire(s.random.poisson(missing / tau * dt), 1000);
         });
       }},
      {"cache_exponential_noisy", false, 3600, 1,
       [](Site& site, double seconds) {
         const double tau = seconds / site.random.uniform(4, 8);
         return Step([=](Site& s, double t, double) {
           const double live = 30000 * (1 - std::exp(-t / tau));
           s.become(whole(live * (1 + 0.03 * s.random.normal())), 1000, 3000);
         });
       }},
      {"lru_with_noise", false, 1800, 1,
       [](Site& site, double) {
         const double limit = site.random.uniform(1e4, 1e5);
         return Step([=](Site& s, double t, double) {
           const double fill = std::min(1.0, t / 60);
           s.become(whole(limit * fill * (1 - 0.05 * s.random.uniform())), 700, 1000);
         });
       }},
      {"session_store_with_ttl", false, 3600, 1,
       [](Site& site, double seconds) {
         // Sessions live for a fixed time: grows for so long, then as many end as begin.
         const double ttl = seconds * site.random.uniform(0.15, 0.35);
         auto begun = std::make_shared<std::vector<std::uint64_t>>();
         return Step([=](Site& s, double t, double dt) {
           begun->push_back(s.random.poisson(8 * dt));
           s.acquire(begun->back(), 1200);
           if (t >= ttl) s.release((*begun)[static_cast<std::size_t>((t - ttl) / dt)], 1200);
         });
       }},
      {"lazy_tables", false, 3600, 1,
       [](Site&, double seconds) {
         // 30 tables, each made at its first use; some are used rarely.
         return Step([=](Site& s, double, double dt) {
           const std::uint64_t missing = 30 - s.count();
           s.acquire(s.random.binomial(missing, 1 - std::exp(-dt * 7 / seconds)), 1 << 18);
         });
       }},
      {"interned_strings", false, 3600, 1,
       [](Site&, double seconds) {
         // A finite set of names, used by a law of 1/rank.
         auto seen = std::make_shared<std::vector<bool>>(2000);
         return Step([=](Site& s, double, double dt) {
           for (std::uint64_t i = s.random.poisson(200000 / seconds * dt); i > 0; --i) {
             const double rank = std::exp(s.random.uniform() * std::log(2001.0)) - 1;
             const auto name = std::min<std::size_t>(1999, static_cast<std::size_t>(rank));
             if (!(*seen)[name]) s.acquire(1, 48);
             (*seen)[name] = true;
           }
         });
       }},
  };
}

/// Growth whose rate falls with the time: code that is compiled when it is hot, names that are seen
/// for the first time. `total` blocks in the first e times `scale` seconds, about.
Pattern warm_up(std::string name, double total, double scale, double seconds) {
  return {std::move(name), false, seconds, 1, [=](Site&, double) {
            return Step([=](Site& s, double t, double dt) {
              s.acquire(s.random.poisson(total / (t + scale) * dt), 3000);
            });
          }};
}

std::vector<Pattern> warm_ups() {
  return {warm_up("warm_up", 200, 5, 600), warm_up("warm_up_of_few", 25, 5, 600),
          warm_up("warm_up_watched_long", 100, 20, 3600)};
}

std::vector<Pattern> pools() {
  return {
      {"pool", false, 1800, 1,
       [](Site& site, double) {
         auto load = std::make_shared<double>(0);
         const double mean = site.random.uniform(50, 500);
         return Step([=](Site& s, double, double dt) {
           *load += dt * -0.05 * *load + 0.3 * std::sqrt(dt) * s.random.normal();
           s.become(whole(mean * std::exp(0.3 * *load)), 4096, 100);
         });
       }},
      {"pool_to_high_water", false, 3600, 1,
       [](Site& site, double) {
         // Never gives back: as large as the most that was ever needed at once.
         const double mean = site.random.uniform(50, 500);
         return Step([=](Site& s, double, double) {
           const std::uint64_t need = s.random.poisson(mean);
           if (need > s.count()) s.acquire(need - s.count(), 4096);
         });
       }},
      {"pool_of_slow_load", false, 3600, 1,
       [](Site& site, double) {
         auto load = std::make_shared<double>(0);
         const double mean = site.random.uniform(50, 500);
         return Step([=](Site& s, double, double dt) {
           *load += dt * -0.01 * *load + 0.14 * std::sqrt(dt) * s.random.normal();
           const std::uint64_t need = s.random.poisson(mean * (1 + 0.3 * std::tanh(*load)));
           if (need > s.count()) s.acquire(need - s.count(), 4096);
         });
       }},
      {"thread_pool_grows_to_limit", false, 1800, 1,
       [](Site&, double) {
         return Step([](Site& s, double t, double) {
           const auto want = std::min<std::uint64_t>(64, static_cast<std::uint64_t>(t / 8));
           if (want > s.count()) s.acquire(want - s.count(), 8 << 20);
         });
       }},
      {"fragmented_arenas", false, 3600, 1,
       [](Site& site, double seconds) {
         // Arenas of 64 MiB are mapped while fragmentation settles.
         const double tau = seconds / site.random.uniform(6, 10);
         return Step([=](Site& s, double t, double) {
           const double need = 40 * (1 - 0.7 * std::exp(-t / tau)) + 0.4 * s.random.normal();
           if (need > static_cast<double>(s.count())) {
             s.acquire(static_cast<std::uint64_t>(std::ceil(need)) - s.count(), 64 << 20);
           }
         });
       }},
      {"producer_consumer", false, 1800, 1,
       [](Site&, double) {
         // One thread acquires, another releases some time later, in turns.
         auto queue = std::make_shared<std::uint64_t>(0);
         return Step([=](Site& s, double, double dt) {
           const std::uint64_t made = s.random.poisson(1000 * dt);
           s.acquire(made, 256);
           *queue += made;
           if (s.random.chance(0.3)) {
             s.release(*queue, 256);
             *queue = 0;
           }
         });
       }},
      {"queue_at_95_percent", false, 1800, 1,
       [](Site&, double) {
         return Step([](Site& s, double, double dt) {
           const std::uint64_t come = s.random.poisson(200 * dt);
           s.acquire(come, 512);
           s.release(std::min(s.count(), s.random.poisson(200 / 0.95 * dt)), 512);
         });
       }},
  };
}

std::vector<Pattern> cycles() {
  return {
      {"sawtooth_long", false, 3600, 1,
       [](Site& site, double) {
         const double period = site.random.uniform(150, 500);
         return Step([=](Site& s, double t, double dt) {
           if (std::fmod(t, period) < dt) s.release(s.count(), 1024);
           s.acquire(s.random.poisson(50 * dt), 1024);
         });
       }},
      {"sawtooth_quarter", false, 3600, 1,
       [](Site& site, double seconds) {
         const double period = seconds * site.random.uniform(0.2, 0.4);
         const double phase = site.random.uniform(0, period);
         return Step([=](Site& s, double t, double dt) {
           if (std::fmod(t + phase, period) < dt) s.release(s.count(), 1024);
           s.acquire(s.random.poisson(50 * dt), 1024);
         });
       }},
      {"sawtooth_random_periods", false, 3600, 1,
       [](Site&, double) {
         return Step([](Site& s, double, double dt) {
           if (s.random.chance(dt / 300)) s.release(s.count(), 1024);
           s.acquire(s.random.poisson(50 * dt), 1024);
         });
       }},
      {"log_buffer", false, 900, 1,
       [](Site& site, double) {
         const std::uint64_t limit = whole(site.random.uniform(0.5e6, 3e6));
         return Step([=](Site& s, double, double dt) {
           s.acquire(s.random.poisson(300 * dt), 120);
           if (s.bytes() > limit) s.drop(s.count(), s.bytes());
         });
       }},
      {"daily_cycle", false, 4 * kDay, 60,
       [](Site& site, double) {
         const double phase = site.random.uniform(0, kDay);
         return Step([=](Site& s, double t, double) {
           const double load = daily(t + phase);
           s.work_rate = 100 + 900 * load;
           s.become(whole(2000 + 10000 * load + 60 * s.random.normal()), 1000, 5000);
         });
       }},
      {"daily_cycle_varied", false, 10 * kDay, 60,
       [](Site& site, double) {
         const double phase = site.random.uniform(0, kDay);
         auto peaks = std::make_shared<std::vector<double>>();
         for (int i = 0; i < 16; ++i) peaks->push_back(site.random.uniform(0.7, 1.3));
         return Step([=](Site& s, double t, double) {
           const double peak = (*peaks)[static_cast<std::size_t>((t + phase) / kDay)];
           const double load = daily(t + phase) * peak;
           s.work_rate = 100 + 900 * load;
           s.become(whole(2000 + 10000 * load + 60 * s.random.normal()), 1000, 5000);
         });
       }},
      {"nightly_batch", false, 4 * kDay, 60,
       [](Site& site, double) {
         const double phase = site.random.uniform(0, kDay);
         return Step([=](Site& s, double t, double) {
           const double into = std::fmod(t + phase, kDay);
           const double live = into < 2 * kHour ? into / (2 * kHour) * 1e5 : 0;
           s.become(whole(1000 + live), 500, 100);
         });
       }},
      {"gc_heap_limit_grows_then_stops", false, 3600, 1,
       [](Site& site, double seconds) {
         // The collector lets the heap grow to a limit, which it raises until it is content.
         const double final_limit = site.random.uniform(100e6, 400e6);
         const double settle = seconds * site.random.uniform(0.1, 0.25);
         auto young = std::make_shared<double>(0);
         return Step([=](Site& s, double t, double dt) {
           const double limit = final_limit * std::min(1.0, 0.2 + 0.8 * t / settle);
           *young += s.random.uniform(0.5, 1.5) * 3e6 * dt;
           if (*young > limit * 0.5) *young = 0;
           s.become(whole((0.4 * limit + *young) / 64), 64, 10000);
         });
       }},
      {"config_reload", false, 2 * kHour, 10,
       [](Site& site, double) {
         // The new one is made before the old one is released; sizes vary.
         const double period = site.random.uniform(400, 900);
         auto size = std::make_shared<std::uint64_t>(20000);
         return Step([=](Site& s, double t, double dt) {
           const double into = std::fmod(t, period);
           if (into < dt) {
             s.release(s.count(), 100);
             *size = whole(s.random.uniform(18000, 22000));
             s.acquire(*size, 100);
           }
           s.become(*size * (into < 2 * dt ? 2 : 1), 100);
         });
       }},
  };
}

std::vector<Pattern> walks() {
  return {
      {"random_walk_unbounded", false, 3600, 1,
       [](Site& site, double) {
         auto level = std::make_shared<double>(site.random.uniform(2000, 5000));
         return Step([=](Site& s, double, double dt) {
           *level = std::abs(*level + 20 * std::sqrt(dt) * s.random.normal());
           s.become(whole(*level), 1000, 2000);
         });
       }},
      {"random_walk_queue", false, 3600, 1,
       [](Site&, double) {
         // Arrivals and departures at equal rates: no drift, floor at zero.
         return Step([](Site& s, double, double dt) {
           s.acquire(s.random.poisson(20 * dt), 400);
           s.release(s.random.poisson(20 * dt), 400);
         });
       }},
      {"random_walk_slow", false, 2 * kHour, 10,
       [](Site& site, double) {
         site.acquire(200, 5000);
         return Step([](Site& s, double, double dt) {
           if (s.random.chance(dt / 60)) s.acquire(1, 5000);
           if (s.random.chance(dt / 60)) s.release(1, 5000);
         });
       }},
      {"random_walk_short", false, 120, 1,
       [](Site& site, double) {
         site.acquire(3000, 64);
         return Step([](Site& s, double, double dt) {
           s.acquire(s.random.poisson(100 * dt), 64);
           s.release(s.random.poisson(100 * dt), 64);
         });
       }},
      {"near_unit_root", false, 3600, 1,
       [](Site&, double) {
         auto level = std::make_shared<double>(0);
         return Step([=](Site& s, double, double) {
           *level = 0.998 * *level + s.random.normal();
           s.become(whole(5000 + 100 * *level), 800, 3000);
         });
       }},
      {"heavy_tailed_walk", false, 3600, 1,
       [](Site&, double) {
         auto level = std::make_shared<double>(3e5);
         return Step([=](Site& s, double, double) {
           const double size = 20 / std::sqrt(1 - s.random.uniform());
           *level = std::abs(*level + (s.random.chance(0.5) ? size : -size));
           s.become(whole(*level), 300, 3000);
         });
       }},
  };
}

std::vector<Pattern> episodes() {
  return {
      {"constant", false, 600, 1,
       [](Site&, double) {
         return Step([](Site& s, double t, double dt) {
           if (t < dt) s.acquire(1000, 4096);
         });
       }},
      {"one_late_block", false, 900, 1,
       [](Site& site, double seconds) {
         const double when = seconds * site.random.uniform(0.2, 0.8);
         return Step([=](Site& s, double t, double dt) {
           if (t >= when && t < when + dt) s.acquire(1, 100 << 20);
         });
       }},
      {"startup", false, 300, 1,
       [](Site& site, double) {
         const double end = site.random.uniform(10, 60);
         return Step([=](Site& s, double t, double dt) {
           if (t < end) s.acquire(s.random.poisson(500 * dt), 700);
         });
       }},
      {"startup_in_phases", false, 900, 1,
       [](Site& site, double) {
         const double end = site.random.uniform(60, 200);
         auto rate = std::make_shared<double>(100);
         return Step([=](Site& s, double t, double dt) {
           if (s.random.chance(0.1)) *rate = s.random.uniform(0, 2000);
           if (t < end) s.acquire(s.random.poisson(*rate * dt), 700);
         });
       }},
      {"load_ramp_up_and_down", false, 1800, 1,
       [](Site& site, double seconds) {
         const double top = seconds * site.random.uniform(0.4, 0.6);
         return Step([=](Site& s, double t, double) {
           const double load = t < top ? t / top : (seconds - t) / (seconds - top);
           s.work_rate = 100 + 2000 * load;
           s.become(s.random.poisson(20 + 800 * load), 3000, whole(100 + 2000 * load));
         });
       }},
      {"load_ramp_and_hold", false, 1800, 1,
       [](Site& site, double seconds) {
         const double top = seconds * site.random.uniform(0.3, 0.55);
         return Step([=](Site& s, double t, double) {
           const double load = std::min(1.0, t / top);
           s.work_rate = 100 + 2000 * load;
           s.become(s.random.poisson(20 + 800 * load), 3000, whole(100 + 2000 * load));
         });
       }},
      {"load_still_rises", false, 1800, 1,
       [](Site&, double seconds) {
         // Memory follows the number of requests in flight, which rises to the end.
         return Step([=](Site& s, double t, double dt) {
           const double load = 0.2 + 0.8 * t / seconds;
           s.work_rate = 2000 * load;
           s.become(s.random.poisson(800 * load), 3000, s.random.poisson(1000 * load * dt));
         });
       }},
      {"load_burst", false, 1800, 1,
       [](Site& site, double seconds) {
         const double when = seconds * site.random.uniform(0.2, 0.6);
         return Step([=](Site& s, double t, double) {
           const double burst = t < when ? 0 : std::exp(-(t - when) / 60);
           s.work_rate = 100 + 5000 * burst;
           s.become(s.random.poisson(100 + 5000 * burst), 1000, whole(100 + 5000 * burst));
         });
       }},
      {"load_burst_leaves_pool", false, 1800, 1,
       [](Site& site, double seconds) {
         const double when = seconds * site.random.uniform(0.2, 0.6);
         return Step([=](Site& s, double t, double) {
           const bool busy = t > when && t < when + 120;
           s.work_rate = busy ? 5000 : 100;
           if (busy && s.count() < 3000) s.acquire(s.random.poisson(40), 1000);
         });
       }},
      {"suspended_plateau", false, 900, 1,
       [](Site&, double seconds) {
         return Step([=](Site& s, double t, double dt) {
           if (std::abs(t - seconds / 2) < dt / 2) s.skip = 9 * kHour;
           s.become(s.random.poisson(5000), 333, 1000);
         });
       }},
  };
}

std::vector<Pattern> partly_observed() {
  return {
      {"sampled_plateau", false, 1800, 1,
       [](Site&, double) {
         return sampled({.live = 40e6, .lifetime = 20, .interval = 512 << 10});
       }},
      {"sampled_long_lived", false, 3600, 1,
       [](Site&, double) {
         return sampled({.live = 100e6, .lifetime = 900, .interval = 512 << 10});
       }},
      {"sampled_few", false, 1800, 1,
       [](Site&, double) { return sampled({.live = 1e6, .lifetime = 60, .interval = 512 << 10}); }},
      {"duty_10_plateau", false, 1800, 1,
       [](Site&, double) {
         return duty_cycled({.leak = 0, .live = 20e6, .lifetime = 5, .duty = 0.1});
       }},
      {"duty_10_long_lived", false, 3600, 1,
       [](Site&, double) {
         return duty_cycled({.leak = 0, .live = 50e6, .lifetime = 60, .duty = 0.1});
       }},
  };
}

}  // namespace

std::vector<Pattern> not_leaks() {
  std::vector<Pattern> all;
  for (auto&& part :
       {caches(), warm_ups(), pools(), cycles(), walks(), episodes(), partly_observed()}) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

}  // namespace leaktrace::series
