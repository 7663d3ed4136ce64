// SPDX-License-Identifier: Apache-2.0
#include "user/base/worker.h"

#include <fmt/core.h>

#include <optional>
#include <utility>

namespace leaktrace {
namespace {

using Clock = std::chrono::steady_clock;

/// Workers that ended before their time; then no more are started.
constexpr unsigned kMostEnds = 16;

}  // namespace

Patience::Patience(const Sandbox& sandbox, const WorkBounds& bounds)
    : sandbox_(sandbox),
      bounds_(bounds),
      began_(Clock::now()),
      cpu_before_(sandbox.cpu_seconds().value_or(0)) {}

bool Patience::lasts() const {
  return lasts_by_clock() && sandbox_.cpu_seconds().value_or(0) - cpu_before_ < bounds_.cpu_seconds;
}

bool Patience::lasts_by_clock() const {
  const std::chrono::duration<double> passed = Clock::now() - began_;
  return passed.count() < bounds_.seconds;
}

std::string Patience::overrun() const {
  return lasts_by_clock()
             ? fmt::format("took longer than it may ({} s of CPU time)", bounds_.cpu_seconds)
             : fmt::format("took longer than it may ({} s)", bounds_.seconds);
}

Result<Message> Worker::ask(std::uint32_t type, const Packer& packer, std::span<const int> fds) {
  if (is_given_up()) return fail("is not started any more: it ended too often");
  const int socket = sandbox_->socket();
  if (socket < 0) return end("cannot be started");
  const Patience patience(*sandbox_, bounds_);
  if (!send_message(socket, type, packer.bytes(), fds)) return end(sandbox_->end(true));
  auto answer = receive_message(socket, {.most_bytes = bounds_.answer_bytes,
                                         .takes_fds = false,
                                         .go_on = [&] { return patience.lasts(); }});
  if (answer && *answer) return std::move(**answer);
  if (!answer) return refuse_answer();
  if (patience.lasts()) return end(sandbox_->end(true));
  std::string overrun = patience.overrun();
  (void)sandbox_->end(false);
  return end(std::move(overrun));
}

Unexpected Worker::refuse_answer() {
  (void)sandbox_->end(false);
  return end("gave an answer that makes no sense");
}

void Worker::renew() {
  if (!sandbox_->is_running()) return;
  (void)sandbox_->end(false);
  ++generation_;
}

bool Worker::is_given_up() const {
  return ended_ >= kMostEnds;
}

Unexpected Worker::end(std::string how) {
  ++ended_;
  ++generation_;
  return fail(std::move(how));
}

}  // namespace leaktrace
