// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numbers>

#include "tests/series/parts.h"

namespace leaktrace::series {
namespace {

/// A leak of `rate` bytes a second, in blocks of `size` at random times.
Step leak_blocks(double rate, std::uint64_t size) {
  return [=](Site& site, double, double dt) {
    site.acquire(site.random.poisson(rate * dt / static_cast<double>(size)), size);
  };
}

/// Size of a container that doubles when it is full.
std::uint64_t doubled(double entries, std::uint64_t size) {
  return size << static_cast<unsigned>(std::ceil(std::log2(std::max(entries, 1.0))));
}

Step churned(Site& site, double churn, double leak) {
  const double lifetime = site.random.uniform(0.2, 2);
  constexpr std::uint64_t kSize = 256;
  const double live = churn * lifetime / kSize;
  auto leaked = std::make_shared<double>(0);
  return [=](Site& s, double, double dt) {
    *leaked += static_cast<double>(s.random.poisson(leak * dt / kSize));
    s.become(s.random.poisson(live) + static_cast<std::uint64_t>(*leaked), kSize,
             s.random.poisson(churn * dt / kSize));
  };
}

std::vector<Pattern> steady() {
  std::vector<Pattern> all;
  for (const double rate : {1e3, 3e4, 1e6, 1e7, 1e8}) {
    all.push_back(steady_leak(rate, rate >= 1e7 ? 60 : 300));
  }
  all.push_back(steady_leak(10, 900));
  all.push_back(steady_leak(100, 600));
  all.push_back(
      {"churn_10000", true, 1800, 1, [](Site& site, double) { return churned(site, 20e6, 2e3); }});
  all.push_back({"churn_10000_batches", true, 7200, 1, [](Site& site, double) {
                   // A batch is collected for some seconds and then released whole.
                   const double period = site.random.uniform(3, 9);
                   auto leaked = std::make_shared<double>(0);
                   return Step([=](Site& s, double t, double dt) {
                     *leaked += s.random.uniform(0.5, 1.5) * 1e3 * dt;
                     const double live = std::fmod(t, period) * 10e6;
                     s.become(static_cast<std::uint64_t>((live + *leaked) / 64), 64,
                              static_cast<std::uint64_t>(10e6 * dt / 64));
                   });
                 }});
  return all;
}

std::vector<Pattern> late_and_stepwise() {
  return {
      {"late_start", true, 1200, 1,
       [](Site& site, double seconds) {
         const double start = seconds * site.random.uniform(0.4, 0.7);
         auto leaked = std::make_shared<double>(0);
         return Step([=](Site& s, double t, double dt) {
           if (t > start) *leaked += static_cast<double>(s.random.poisson(5 * dt));
           s.become(s.random.poisson(500) + static_cast<std::uint64_t>(*leaked), 512, 1000);
         });
       }},
      {"late_new_site", true, 1200, 1,
       [](Site& site, double seconds) {
         const double start = seconds * site.random.uniform(0.4, 0.7);
         return Step([=](Site& s, double t, double dt) {
           if (t > start) s.acquire(s.random.poisson(3 * dt), 200);
         });
       }},
      {"steps", true, 1800, 1,
       [](Site& site, double) {
         auto next = std::make_shared<double>(site.random.uniform(0, 60));
         return Step([=](Site& s, double t, double) {
           if (t < *next) return;
           s.acquire(1, 1 << 20);
           *next += s.random.uniform(50, 70);
         });
       }},
      {"bursts_with_rests", true, 2400, 1,
       [](Site& site, double) {
         const double period = site.random.uniform(90, 150);
         return Step([=](Site& s, double t, double dt) {
           const bool busy = std::fmod(t, period) < 20;
           s.work_rate = busy ? 1000 : 5;
           if (!busy) {
             s.release(s.count() - kept(s), 4096);
             return;
           }
           const std::uint64_t blocks = s.random.poisson(100 * dt);
           s.acquire(blocks, 4096);
           keep(s, s.random.binomial(blocks, 0.05));
         });
       }},
      {"every_1000_requests", true, 1800, 1,
       [](Site&, double) {
         return Step([](Site& s, double, double dt) {
           const std::uint64_t requests = s.random.poisson(100 * dt);
           s.work_rate = 1000;
           keep(s, s.random.binomial(requests, 0.001));
           s.become(kept(s) + s.random.poisson(5), 300, requests);
         });
       }},
      {"rare_error_path", true, 7200, 10,
       [](Site&, double) {
         return Step(
             [](Site& s, double, double dt) { s.acquire(s.random.poisson(dt / 120), 2000); });
       }},
      {"startup_then_leak", true, 900, 1,
       [](Site& site, double) {
         const double size = site.random.uniform(50e6, 300e6);
         return Step([=](Site& s, double t, double dt) {
           if (t < 20) s.acquire(static_cast<std::uint64_t>(size / 20 / 1024 * dt), 1024);
           s.acquire(s.random.poisson(20 * dt), 1024);
         });
       }},
      {"hourly_job", true, 2 * kDay, 60,
       [](Site& site, double) {
         const double phase = site.random.uniform(0, kHour);
         return Step([=](Site& s, double t, double dt) {
           const double into = std::fmod(t + phase, kHour);
           s.work_rate = into < 300 ? 1000 : 20;
           if (into < 300) {
             s.acquire(200, 8192);
           } else if (into < 300 + dt) {
             keep(s, s.random.poisson(40));
             s.release(s.count() - kept(s), 8192);
           }
         });
       }},
      {"slow_leak_in_hours", true, kDay, 10,
       [](Site&, double) { return leak_blocks(1.0 / 3, 100); }},
      {"new_site_in_old_process", true, 4 * kDay, 60,
       [](Site&, double seconds) {
         return Step([=](Site& s, double t, double dt) {
           if (t > seconds - 8 * kHour) s.acquire(s.random.poisson(0.2 * dt), 4000);
         });
       }},
  };
}

std::vector<Pattern> by_structure() {
  return {
      {"one_thread_of_64", true, 1800, 1,
       [](Site&, double) {
         auto threads = std::make_shared<std::vector<double>>(64, 30);
         auto leaked = std::make_shared<double>(0);
         return Step([=](Site& s, double, double dt) {
           double live = 0;
           for (double& one : *threads) {
             one += 0.3 * (30 - one) + 4 * s.random.normal();
             live += std::max(one, 0.0);
           }
           *leaked += static_cast<double>(s.random.poisson(2 * dt));
           s.become(static_cast<std::uint64_t>(live + *leaked), 1024, 2000);
         });
       }},
      {"realloc_growth", true, 600, 1,
       [](Site&, double) {
         return Step([](Site& s, double, double dt) {
           const std::uint64_t more = s.random.poisson(4 * dt) * 1000;
           if (more == 0) return;
           const std::uint64_t size = s.bytes();
           s.add(1, size + more);
           if (size > 0) s.drop(1, size);
         });
       }},
      {"hash_table_shards", true, 1800, 1,
       [](Site& site, double) {
         // 64 tables that double when full; some get more keys than others, none is removed.
         struct Table {
           double keys = 0, rate = 0;
         };
         auto tables = std::make_shared<std::vector<Table>>(64);
         for (Table& table : *tables) {
           table = {site.random.uniform(64, 256), std::exp(site.random.normal())};
         }
         return Step([=](Site& s, double, double dt) {
           std::uint64_t bytes = 0;
           for (Table& table : *tables) {
             table.keys += s.random.uniform(0, 4) * table.rate * dt;
             bytes += doubled(table.keys, 16);
           }
           if (bytes > s.bytes()) s.add(s.count() == 0 ? 64 : 0, bytes - s.bytes());
         });
       }},
      {"one_hash_table", true, 2 * kHour, 1,
       [](Site& site, double) {
         // Doubles each time that it is full: about one step whenever time has doubled.
         const double rate = site.random.uniform(0.5, 20);
         auto keys = std::make_shared<double>(1);
         return Step([=](Site& s, double, double dt) {
           *keys += static_cast<double>(s.random.poisson(rate * dt));
           const std::uint64_t bytes = doubled(*keys, 16);
           if (bytes <= s.bytes()) return;
           const std::uint64_t before = s.bytes();
           s.add(1, bytes);
           if (before > 0) s.drop(1, before);
         });
       }},
      {"vectors_of_sessions", true, 1800, 1,
       [](Site&, double) {
         // Each session's vector doubles up to 32 KiB; sessions are never removed.
         auto sizes = std::make_shared<std::vector<double>>();
         return Step([=](Site& s, double, double dt) {
           for (std::uint64_t i = s.random.poisson(0.2 * dt); i > 0; --i) sizes->push_back(64);
           std::uint64_t bytes = 0;
           for (double& size : *sizes) {
             if (size < 32768 && s.random.chance(0.05)) size *= 2;
             bytes += static_cast<std::uint64_t>(size);
           }
           s.add(sizes->size() - s.count(), bytes - s.bytes());
         });
       }},
      {"list_nodes", true, 600, 1, [](Site&, double) { return leak_blocks(2000, 40); }},
      {"gc_heap_leak", true, 3600, 1,
       [](Site& site, double) {
         const double garbage = site.random.uniform(20e6, 60e6);
         auto old = std::make_shared<double>(30e6);
         auto young = std::make_shared<double>(0);
         return Step([=](Site& s, double, double dt) {
           *old += 10e3 * dt;
           *young += s.random.uniform(0.5, 1.5) * 1e6 * dt;
           if (*young > garbage) *young = 0;
           s.become(static_cast<std::uint64_t>((*old + *young) / 64), 64,
                    static_cast<std::uint64_t>(10000 * dt));
         });
       }},
      {"cursors_without_bytes", true, 600, 1,
       [](Site&, double) {
         return Step([](Site& s, double, double dt) {
           keep(s, s.random.poisson(0.2 * dt));
           s.become(kept(s) + s.random.binomial(8, 0.5), 0, s.random.poisson(20));
         });
       }},
      {"empty_blocks_in_large", true, 900, 1,
       [](Site&, double) {
         // Blocks of 16 bytes leak beside large ones that come and go: seen by number only.
         return Step([](Site& s, double, double dt) {
           keep(s, s.random.poisson(50 * dt));
           const std::uint64_t large = s.random.binomial(20, 0.5);
           s.become(kept(s) + large, 0, s.random.poisson(30));
           const std::uint64_t bytes = kept(s) * 16 + large * (10 << 20);
           if (bytes > s.bytes()) s.add(0, bytes - s.bytes());
           if (bytes < s.bytes()) s.drop(0, s.bytes() - bytes);
         });
       }},
  };
}

std::vector<Pattern> by_load() {
  return {
      {"daily_cycle_with_trend", true, 10 * kDay, 60,
       [](Site& site, double) {
         const double phase = site.random.uniform(0, kDay);
         const double trend = site.random.uniform(0.08, 0.3);
         return Step([=](Site& s, double t, double) {
           const double load = daily(t + phase);
           s.work_rate = 100 + 900 * load;
           const double live = 2000 + 10000 * load + trend * 10000 * t / kDay;
           s.become(static_cast<std::uint64_t>(live + 60 * s.random.normal()), 1000, 5000);
         });
       }},
      {"slow_leak_by_daily_load", true, 7 * kDay, 60,
       [](Site& site, double) {
         const double phase = site.random.uniform(0, kDay);
         return Step([=](Site& s, double t, double dt) {
           const double load = daily(t + phase);
           s.work_rate = 50 + 950 * load;
           keep(s, s.random.poisson(0.02 * load * dt));
           s.become(kept(s) + s.random.poisson(300 * load), 700, 3000);
         });
       }},
      {"per_request_random_load", true, 1800, 1,
       [](Site&, double) {
         auto load = std::make_shared<double>(0);
         return Step([=](Site& s, double, double dt) {
           *load = 0.99 * *load + 0.14 * s.random.normal();
           const double rate = 100 * std::exp(0.6 * *load);
           s.work_rate = 20 * rate;
           keep(s, s.random.poisson(0.02 * rate * dt));
           s.become(kept(s) + s.random.poisson(0.5 * rate), 2048, s.random.poisson(rate * dt));
         });
       }},
      {"accelerating", true, 900, 1,
       [](Site&, double seconds) {
         return Step([=](Site& s, double t, double dt) {
           s.acquire(s.random.poisson(20 * dt * t / seconds), 900);
         });
       }},
      {"load_falls_leak_goes_on", true, 1800, 1,
       [](Site&, double seconds) {
         return Step([=](Site& s, double t, double dt) {
           const double load = 1 - 0.7 * t / seconds;
           s.work_rate = 1000 * load;
           keep(s, s.random.poisson(5 * load * dt));
           s.become(kept(s) + s.random.poisson(200 * load), 800, s.random.poisson(500 * load));
         });
       }},
  };
}

std::vector<Pattern> partly_observed() {
  return {
      {"sampled_leak", true, 900, 1,
       [](Site&, double) {
         return sampled({.leak = 200e3, .live = 50e6, .lifetime = 30, .interval = 512 << 10});
       }},
      {"sampled_slow_leak", true, 2 * kHour, 1,
       [](Site&, double) {
         return sampled({.leak = 10e3, .live = 4e6, .lifetime = 5, .interval = 512 << 10});
       }},
      {"duty_10_leak", true, 900, 1,
       [](Site&, double) {
         return duty_cycled({.leak = 20e3, .live = 0, .lifetime = 1, .duty = 0.1});
       }},
      {"duty_10_leak_in_churn", true, 3600, 1,
       [](Site&, double) {
         return duty_cycled({.leak = 20e3, .live = 4e6, .lifetime = 3, .duty = 0.1});
       }},
      {"leak_on_suspended_machine", true, 900, 1,
       [](Site&, double seconds) {
         return Step([=](Site& s, double t, double dt) {
           if (std::abs(t - seconds / 2) < dt / 2) s.skip = 9 * kHour;
           s.acquire(s.random.poisson(10 * dt), 333);
         });
       }},
  };
}

}  // namespace

Pattern steady_leak(double bytes_per_second, double seconds) {
  return {fmt::format("steady_{}_B_s", static_cast<std::uint64_t>(bytes_per_second)), true, seconds,
          1, [=](Site& site, double) {
            const double size =
                std::clamp(bytes_per_second / site.random.uniform(1, 50), 16.0, 65536.0);
            return leak_blocks(bytes_per_second, static_cast<std::uint64_t>(size));
          }};
}

std::vector<Pattern> leaks() {
  std::vector<Pattern> all;
  for (auto&& part :
       {steady(), late_and_stepwise(), by_structure(), by_load(), partly_observed()}) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

}  // namespace leaktrace::series
