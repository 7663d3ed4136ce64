// SPDX-License-Identifier: Apache-2.0
#include "tests/series/parts.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numbers>

namespace leaktrace::series {

double daily(double seconds) {
  const double angle = 2 * std::numbers::pi * seconds / kDay;
  const double load = 0.5 - 0.45 * std::cos(angle) - 0.12 * std::cos(2 * angle);
  return std::clamp(load, 0.0, 1.0);
}

Step sampled(const Observed& what) {
  constexpr double kSize = 1024;
  const double weight = what.interval / kSize;
  struct State {
    std::uint64_t live = 0;
    std::uint64_t leaked = 0;
    bool begun = false;
  };
  auto state = std::make_shared<State>();
  return [=](Site& s, double, double dt) {
    const double live = what.live / what.interval;  // samples
    if (!state->begun) {
      state->live = s.random.poisson(live);
      state->begun = true;
    }
    const std::uint64_t died = s.random.binomial(state->live, 1 - std::exp(-dt / what.lifetime));
    const std::uint64_t born = s.random.poisson(live * (1 - std::exp(-dt / what.lifetime)));
    state->live = state->live - died + born;
    state->leaked += s.random.poisson(what.leak * dt / what.interval);
    const auto samples = static_cast<double>(state->live + state->leaked);
    const auto seen = static_cast<double>(s.random.poisson(live * dt / what.lifetime));
    s.become(static_cast<std::uint64_t>(samples * weight), static_cast<std::uint64_t>(kSize),
             static_cast<std::uint64_t>(seen * weight));
    s.count_variance = samples * weight * (weight - 1);
    s.bytes_variance = s.count_variance * kSize * kSize;
  };
}

Step duty_cycled(const Observed& what) {
  constexpr double kSize = 1024;
  const double period = 1 / what.duty;
  struct State {
    double live = 0, leaked = 0, phantom = 0, released = 0, error = 0;
    bool begun = false;
  };
  auto state = std::make_shared<State>();
  return [=](Site& s, double t, double dt) {
    if (!state->begun) {
      state->error = s.random.normal();
      state->begun = true;
    }
    s.observed = what.duty;
    const double alive = std::exp(-dt / what.lifetime);
    const bool is_on = std::fmod(t, period) < dt;
    const double died =
        static_cast<double>(s.random.binomial(static_cast<std::uint64_t>(state->live), 1 - alive));
    state->live -= died;
    if (is_on) {
      const double rate = what.live / what.lifetime / kSize;
      const std::uint64_t born = s.random.poisson(rate * dt);
      // Born at any time of the window, some die in it.
      const double within = 1 - (1 - alive) * what.lifetime / dt;
      const std::uint64_t dead = s.random.binomial(born, within);
      state->live += static_cast<double>(born - dead);
      state->released += static_cast<double>(dead);
      state->leaked += static_cast<double>(s.random.poisson(what.leak * dt / kSize));
      state->released += died;
    } else {
      state->phantom += died;
    }
    // The chance of being dead is estimated from the releases seen: relative error 1 / sqrt(seen).
    const double sd = state->phantom / std::sqrt(state->released + 1);
    const double outstanding = std::max(0.0, state->live + state->leaked + state->error * sd);
    s.become(static_cast<std::uint64_t>(outstanding), static_cast<std::uint64_t>(kSize),
             is_on ? static_cast<std::uint64_t>(died) : 0);
    s.count_variance = sd * sd + state->live;
    s.bytes_variance = s.count_variance * kSize * kSize;
  };
}

}  // namespace leaktrace::series
