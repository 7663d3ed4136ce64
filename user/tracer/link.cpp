// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/link.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <system_error>
#include <thread>

namespace leaktrace::tracer {
namespace {

/// Threads that wait for the kernel cost little.
constexpr std::size_t kMostThreads = 32;

}  // namespace

void detach_together(std::vector<Link> links) {
  std::atomic<std::size_t> next = 0;
  std::vector<std::jthread> threads;
  const auto detach = [&] {
    for (std::size_t i = next++; i < links.size(); i = next++) links[i].reset();
  };
  try {
    while (threads.size() + 1 < std::min(links.size(), kMostThreads)) threads.emplace_back(detach);
  } catch (const std::system_error&) {
    // No more threads are to be had: those that are there do it.
  }
  detach();
}

}  // namespace leaktrace::tracer
