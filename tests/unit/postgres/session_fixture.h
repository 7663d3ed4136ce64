// SPDX-License-Identifier: Apache-2.0
// A client and its server, played event by event: what libpq's functions would have shown.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "user/postgres/sessions.h"

namespace leaktrace::postgres {

inline constexpr auto kIdle = TransactionStatus::idle;
inline constexpr auto kInTransaction = TransactionStatus::in_transaction;
inline constexpr auto kFailed = TransactionStatus::failed;
inline constexpr auto kUnknown = TransactionStatus::unknown;

class SessionFixture : public ::testing::Test {
 protected:
  static constexpr std::uint64_t kHandle = 0x1000;

  Event make(EventType type) {
    Event event;
    event.type = type;
    event.connection = {image_, handle_};
    event.at_ns = ++now_;
    event.from_start = from_start_;
    event.pipeline = pipeline_;
    return event;
  }
  void apply(const Event& event) { sessions_.apply(event); }

  /// `made`: the connection is a new one, whatever was known at its handle.
  void connect(bool made = false) {
    Event event = make(EventType::connected);
    event.value = made ? 1 : 0;
    event.host = "db";
    event.port = "5432";
    event.database = "shop";
    event.user = "app";
    apply(event);
  }
  void simple(EventType type) { apply(make(type)); }

  void send(CommandKind kind, std::string_view name, std::string_view text, std::uint32_t ahead = 0,
            bool cut = false) {
    Event event = make(EventType::command);
    event.command = kind;
    event.name = name;
    event.text = text;
    event.ahead = ahead;
    event.cut = cut;
    event.stack = {stack_};
    apply(event);
  }
  void result(ResultStatus status, std::string_view tag = {}) {
    Event event = make(EventType::result);
    event.status = status;
    event.text = tag;
    event.unannounced = unannounced_;
    apply(event);
  }
  void ok(std::string_view tag = {}) { result(ResultStatus::command_ok, tag); }
  void error() { result(ResultStatus::fatal_error); }
  void sync(TransactionStatus status) {
    Event event = make(EventType::result);
    event.status = ResultStatus::pipeline_sync;
    event.transaction = status;
    apply(event);
  }
  void done(TransactionStatus status = kIdle) {
    Event event = make(EventType::done);
    event.transaction = status;
    apply(event);
  }

  /// A simple query whose statements succeed with these tags; the tag "!" is an error.
  void query(std::string_view text, std::initializer_list<std::string_view> tags,
             TransactionStatus status = kIdle) {
    send(CommandKind::query, "", text);
    for (const std::string_view tag : tags) tag == "!" ? error() : ok(tag);
    done(status);
  }
  void in_transaction(std::string_view text, std::string_view tag) {
    query(text, {tag}, kInTransaction);
  }
  void begin() { in_transaction("BEGIN", "BEGIN"); }
  void commit() { query("COMMIT", {"COMMIT"}); }
  void declare(const std::string& name, const std::string& options = "") {
    in_transaction("DECLARE " + name + " CURSOR " + options + " FOR SELECT 1", "DECLARE CURSOR");
  }
  void savepoint(const std::string& name) { in_transaction("SAVEPOINT " + name, "SAVEPOINT"); }
  void unannounced(std::string_view tag, TransactionStatus status = kIdle) {
    unannounced_ = true;
    ok(tag);
    unannounced_ = false;
    done(status);
  }

  [[nodiscard]] model::Connection described() const {
    for (const auto& each : sessions_.connections(now_, 100).connections) {
      if (each.handle == handle_) return each;
    }
    return {};
  }
  /// Names of what is open of a kind, the oldest first.
  [[nodiscard]] std::vector<std::string> names(model::Kind kind) const {
    std::vector<std::string> found;
    for (const auto& each : described().open) {
      if (each.kind == kind) found.push_back(each.name);
    }
    return found;
  }
  [[nodiscard]] std::vector<std::string> cursors() const { return names(model::Kind::pg_cursor); }
  [[nodiscard]] std::vector<std::string> statements() const {
    return names(model::Kind::pg_statement);
  }
  [[nodiscard]] std::vector<std::string> states() const {
    std::vector<std::string> found;
    for (const auto& each : described().open) {
      if (each.kind == model::Kind::pg_copy) found.push_back(each.state);
    }
    return found;
  }
  [[nodiscard]] const SessionLosses& losses() const { return sessions_.losses(); }
  [[nodiscard]] model::Counters counters(std::uint64_t stack, model::Kind kind) {
    for (const auto& site : sessions_.take_changed_sites()) {
      if (site.site == model::SiteKey{{stack}, image_, kind}) return site.counters;
    }
    return {};
  }

  Sessions sessions_{SessionOptions{}};
  model::ImageId image_{1};
  std::uint64_t handle_ = kHandle;
  std::uint64_t stack_ = 7;
  std::uint64_t now_ = 0;
  bool from_start_ = true;
  bool pipeline_ = false;
  bool unannounced_ = false;
};

using ::testing::ElementsAre;
using ::testing::IsEmpty;

}  // namespace leaktrace::postgres
