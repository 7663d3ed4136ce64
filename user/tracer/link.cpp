// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/link.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <map>
#include <system_error>
#include <thread>

#include "user/tracer/link_keeper.h"

namespace leaktrace::tracer {
namespace {

/// Threads that wait for the kernel cost little.
constexpr std::size_t kMostThreads = 32;

}  // namespace

Link& Link::operator=(Link&& other) noexcept {
  if (this == &other) return *this;
  reset();
  link_ = std::move(other.link_);
  fd_ = std::move(other.fd_);
  keeper_ = std::exchange(other.keeper_, nullptr);
  id_ = other.id_;
  return *this;
}

void Link::reset() {
  link_.reset();
  fd_.reset();
  if (keeper_ != nullptr) std::exchange(keeper_, nullptr)->detach({id_}, true);
}

void detach_together(std::vector<Link> links, bool wait) {
  std::map<LinkKeeper*, std::vector<std::uint64_t>> kept;
  for (Link& link : links) {
    if (link.keeper_ == nullptr) continue;
    kept[link.keeper_].push_back(link.id_);
    link.forget();
  }
  for (const auto& [keeper, ids] : kept) keeper->detach(ids, wait);
}

void close_together(std::vector<UniqueFd> fds) {
  std::atomic<std::size_t> next = 0;
  std::vector<std::jthread> threads;
  const auto close = [&] {
    for (std::size_t i = next++; i < fds.size(); i = next++) fds[i].reset();
  };
  try {
    while (threads.size() + 1 < std::min(fds.size(), kMostThreads)) threads.emplace_back(close);
  } catch (const std::system_error&) {
    // No more threads are to be had: those that are there do it.
  }
  close();
}

}  // namespace leaktrace::tracer
