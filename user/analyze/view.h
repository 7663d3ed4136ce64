// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "user/model/history.h"

namespace leaktrace::analyze {

/// What of a site is looked at.
enum class Amount { bytes, count };

/// One amount of a site over windows of about equal width, as columns.
struct Track {
  std::vector<double> at;       ///< seconds of watched time: middle of each window
  std::vector<double> seconds;  ///< since the end of the window before
  std::vector<double> floor;    ///< least that was outstanding in the window
  std::vector<double> most;
  std::vector<double> last;
  std::vector<double> count;     ///< as `last`, in number whatever the amount
  std::vector<double> acquired;  ///< in the window, in number whatever the amount
  std::vector<double> work;      ///< done in the window

  [[nodiscard]] std::size_t size() const { return floor.size(); }
  void clear();
  void push(const model::Window& window, double since, Amount amount);
};

/// The history in windows that are `coarsening` times as wide, so many of them that each is full;
/// what is left over at the beginning is part of the oldest. A newest window that has hardly begun
/// is part of the one before it: its floor is over too short a time to be compared.
void coarsen(std::span<const model::Window> windows, std::size_t coarsening, Amount amount,
             Track& out);

/// The most that `values` fall from a value to a later one; 0 or more.
[[nodiscard]] double deepest_fall(std::span<const double> values);

}  // namespace leaktrace::analyze
