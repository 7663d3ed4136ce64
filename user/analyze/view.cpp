// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/view.h"

#include <algorithm>

namespace leaktrace::analyze {
namespace {

void join(model::Window& window, const model::Window& later) {
  window.end = later.end;
  window.floor_bytes = std::min(window.floor_bytes, later.floor_bytes);
  window.floor_count = std::min(window.floor_count, later.floor_count);
  window.max_bytes = std::max(window.max_bytes, later.max_bytes);
  window.max_count = std::max(window.max_count, later.max_count);
  window.last_bytes = later.last_bytes;
  window.last_count = later.last_count;
  window.acquired += later.acquired;
  window.work += later.work;
}

}  // namespace

void Track::clear() {
  for (auto* column : {&at, &seconds, &floor, &most, &last, &count, &acquired, &work})
    column->clear();
}

void Track::push(const model::Window& window, double since, Amount amount) {
  const bool in_bytes = amount == Amount::bytes;
  at.push_back((window.start + window.end) / 2);
  seconds.push_back(std::max(window.end - since, 0.0));
  floor.push_back(in_bytes ? window.floor_bytes : window.floor_count);
  most.push_back(in_bytes ? window.max_bytes : window.max_count);
  last.push_back(in_bytes ? window.last_bytes : window.last_count);
  count.push_back(window.last_count);
  acquired.push_back(window.acquired);
  work.push_back(window.work);
}

void coarsen(std::span<const model::Window> windows, std::size_t coarsening, Amount amount,
             Track& out) {
  out.clear();
  if (windows.empty()) return;
  std::size_t size = windows.size();
  model::Window newest = windows.back();
  if (size > 2) {
    const model::Window& before = windows[size - 2];
    if (newest.end - newest.start < (before.end - before.start) / 2) {
      model::Window joined = before;
      join(joined, newest);
      newest = joined;
      --size;
    }
  }
  const std::size_t groups = std::max<std::size_t>(1, size / coarsening);
  std::size_t next = 0;
  double since = windows.front().start;
  for (std::size_t group = 0; group < groups; ++group) {
    const std::size_t end = size - (groups - 1 - group) * coarsening;
    model::Window joined = next == size - 1 ? newest : windows[next];
    for (++next; next < end; ++next) join(joined, next == size - 1 ? newest : windows[next]);
    out.push(joined, since, amount);
    since = joined.end;
  }
}

double deepest_fall(std::span<const double> values) {
  double top = values.empty() ? 0 : values.front();
  double deepest = 0;
  for (const double value : values) {
    top = std::max(top, value);
    deepest = std::max(deepest, top - value);
  }
  return deepest;
}

}  // namespace leaktrace::analyze
