// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <iterator>
#include <utility>

#include "user/postgres/session.h"

namespace leaktrace::postgres {
namespace {

constexpr std::size_t kMostSavepoints = 65536;

}  // namespace

/// What the statements before it in the same message have opened becomes part of it.
void Session::begin(std::uint64_t at_ns) {
  if (transaction_.is_explicit) return;
  transaction_.is_explicit = true;
  transaction_.failed = false;
  transaction_.since_ns = at_ns;
}

/// A cursor WITH HOLD outlives the commit of the transaction that it was declared in, and then its
/// session only.
void Session::end_transaction(bool commit, std::uint64_t at_ns) {
  const std::set<std::uint64_t> resources = std::exchange(transaction_.resources, {});
  for (const std::uint64_t number : resources) {
    if (commit && holder_.open.at(number).hold) continue;
    close(number, at_ns);
  }
  transaction_ = {};
  rollback_doubtful_ = false;
}

/// Programs that set one savepoint again and again without releasing it must not fill memory.
void Session::set_savepoint(const std::string& name) {
  auto& savepoints = transaction_.savepoints;
  const std::uint64_t newest = context_->holdings.newest();
  if (!savepoints.empty() && savepoints.back().name == name &&
      transaction_.resources.upper_bound(savepoints.back().newest) ==
          transaction_.resources.end()) {
    ++savepoints.back().count;
  } else if (savepoints.size() < kMostSavepoints) {
    savepoints.push_back({name, newest, 1});
  } else {
    ++context_->losses.table_full;
  }
}

std::vector<Transaction::Savepoint>::iterator Session::savepoint(const std::string& name) {
  auto& savepoints = transaction_.savepoints;
  const auto found = std::find_if(savepoints.rbegin(), savepoints.rend(),
                                  [&name](const auto& each) { return each.name == name; });
  return found == savepoints.rend() ? savepoints.end() : std::prev(found.base());
}

/// What was opened since belongs to the level below, as its number says already.
void Session::release_savepoint(const std::string& name) {
  const auto found = savepoint(name);
  if (found == transaction_.savepoints.end()) return;  // set unseen; it changes nothing
  const bool last = --found->count == 0;
  transaction_.savepoints.erase(last ? found : std::next(found), transaction_.savepoints.end());
}

/// The savepoint itself stays.
void Session::roll_back_to(const std::string& name, std::uint64_t at_ns) {
  transaction_.failed = false;
  const auto found = savepoint(name);
  if (found == transaction_.savepoints.end()) return count_undecided_if_held();
  transaction_.savepoints.erase(std::next(found), transaction_.savepoints.end());
  const std::uint64_t newest = transaction_.savepoints.back().newest;
  auto& resources = transaction_.resources;
  while (!resources.empty() && *resources.rbegin() > newest) close(*resources.rbegin(), at_ns);
}

void Session::count_undecided_if_held() {
  if (!transaction_.resources.empty()) ++context_->losses.undecided;
}

/// The server's word of the transaction, at the end of a message.
void Session::settle(TransactionStatus status, std::uint64_t at_ns) {
  const bool doubtful = std::exchange(rollback_doubtful_, false);
  const bool refused = std::exchange(commit_refused_, false);
  switch (status) {
    case TransactionStatus::idle:
      transaction_known_ = true;
      return settle_idle(doubtful || refused, at_ns);
    case TransactionStatus::in_transaction:
    case TransactionStatus::failed:
      transaction_known_ = true;
      if (doubtful) count_undecided_if_held();
      begin(at_ns);
      transaction_.failed = status == TransactionStatus::failed;
      return;
    case TransactionStatus::active:
    case TransactionStatus::unknown:
      if (doubtful) count_undecided_if_held();
      if (!transaction_.is_explicit || refused) end_transaction(!transaction_.failed, at_ns);
      return;
  }
}

/// No transaction is open any more. `rolled_back`: how it ended was seen. An explicit one of which
/// no end was seen is guessed to have ended well if all in it went well, which makes a difference
/// to cursors WITH HOLD only.
void Session::settle_idle(bool rolled_back, std::uint64_t at_ns) {
  const auto outlives_commit = [this](std::uint64_t number) {
    return holder_.open.at(number).hold;
  };
  if (transaction_.is_explicit && !rolled_back &&
      std::ranges::any_of(transaction_.resources, outlives_commit)) {
    ++context_->losses.undecided;
  }
  end_transaction(!rolled_back && !transaction_.failed, at_ns);
}

}  // namespace leaktrace::postgres
