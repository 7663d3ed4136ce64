// SPDX-License-Identifier: Apache-2.0
// A small trace that has every type of record, and a sink for tests. The sample_records are those
// of tests/testdata/recordings/format-1.lt: new types go to newer_records.
#pragma once

#include <string>
#include <vector>

#include "leaktrace/abi.h"
#include "user/collect/record_sink.h"
#include "user/model/record.h"

namespace leaktrace::collect {

/// Keeps the records.
class RecordList final : public RecordSink {
 public:
  Result<void> accept(const model::Record& record) override {
    records.push_back(record);
    return {};
  }
  std::vector<model::Record> records;
};

inline model::SiteKey sample_site(std::uint64_t stack, std::uint32_t image = 1,
                                  model::Kind kind = model::Kind::heap) {
  return {{stack}, {image}, kind};
}

inline model::Snapshot sample_snapshot(std::uint64_t second) {
  model::Snapshot snapshot;
  snapshot.at_ns = second * 1'000'000'000;
  snapshot.sites = {
      {sample_site(0xfeedface00000001), {10 * second, 640 * second, second, 64 * second, 5}},
      {sample_site(0, 2, model::Kind::mmap), {UINT64_MAX, UINT64_MAX, 0, 1, UINT64_MAX}},
      {sample_site(7), {second, second, 0, 0, 900 - second}},
  };
  snapshot.losses.front() = second;
  snapshot.losses[LT_LOSS_ABANDONED_CALL] = UINT64_MAX;
  snapshot.probe_hits = 1000 * second;
  return snapshot;
}

/// A reading of a trace that samples and is not attached all the time.
inline model::Snapshot sampled_snapshot(std::uint64_t second) {
  model::Snapshot snapshot = sample_snapshot(second);
  snapshot.sites[0].counters.estimate = {.acquired_samples = 10 * second,
                                         .released_samples = second,
                                         .count_variance = 0.1 * static_cast<double>(second),
                                         .bytes_variance = 1e17,
                                         .unseen_count = 5 - second,
                                         .unseen_bytes = UINT64_MAX / second};
  snapshot.sites[2].counters.estimate.acquired_samples = UINT64_MAX;
  snapshot.overhead = {.sampling_bytes = 524288 * second,
                       .observed_ns = 300'000'000 * second,
                       .nanoseconds_per_hit = 312.5,
                       .percent_of_target_cpu = 4.9};
  return snapshot;
}

inline model::Connections sample_connections() {
  model::Connection connection;
  connection.image = {UINT32_MAX};
  connection.handle = UINT64_MAX;
  connection.host = "/run/postgresql";
  connection.port = "5432";
  connection.database = "sh\xffop";
  connection.user = "app";
  connection.state = model::ConnectionState::broken;
  connection.from_start = true;
  connection.since_ns = 1;
  connection.state_since_ns = 2;
  connection.transaction_since_ns = UINT64_MAX;
  connection.open_count = 1000;
  connection.open_by_kind = {{model::Kind::pg_statement, 1}, {model::Kind::pg_cursor, 999}};
  connection.open = {{model::Kind::pg_statement, "s1", "SELECT $1", "", 5, {0xfeedface00000001}},
                     {model::Kind::pg_cursor, "c1", "", "with hold", UINT64_MAX, {0}}};
  return {.at_ns = 9, .count = 2, .connections = {connection, {}}};
}

inline std::vector<model::Record> sample_records() {
  model::Stack stack{.id = {0xfeedface00000001},
                     .image = {1},
                     .end = model::StackEnd::rule,
                     .frames = {{0x7fff'f7a1'2345, {1}, 0x12345},
                                {0x5555'5555'1000, {2}, 0x1000},
                                {UINT64_MAX, {0}, 0}},
                     .by_frame_pointer = 0};
  return {
      model::TraceStart{.unix_ns = -5,
                        .tool_version = "0.1.0",
                        .host = "db-1",
                        .sampling_bytes = 524288,
                        .min_size = 16,
                        .max_size = UINT64_MAX},
      model::Process{.image = {1},
                     .pid = 4242,
                     .comm = "se\xffrver",  // not UTF-8, as a command name may be
                     .exe = "/usr/bin/server",
                     .cgroup = "/system.slice/server.service",
                     .since_ns = 17},
      model::Module{.id = {1}, .path = "/usr/lib/libc.so.6", .build_id = "00ffee"},
      model::Module{.id = {2}, .path = "/usr/bin/server", .build_id = ""},
      stack,
      model::Stack{.id = {7},
                   .image = {1},
                   .end = model::StackEnd::complete,
                   .frames = {},
                   .by_frame_pointer = 0},
      sample_snapshot(1),
      model::Process{.image = {2}, .pid = 4243, .comm = "", .exe = "", .cgroup = "", .since_ns = 0},
      sample_snapshot(2),
      model::Snapshot{.at_ns = 3'000'000'000, .sites = {}, .losses = {}, .probe_hits = 0},
      model::ProcessEnd{
          .image = {2}, .reason = model::EndReason::replaced, .wait_status = 0, .at_ns = 99},
      model::ProcessEnd{.image = {1},
                        .reason = model::EndReason::exited,
                        .wait_status = 139,
                        .at_ns = UINT64_MAX},
      model::Blocks{.at_ns = 4'000'000'000,
                    .blocks = {{sample_site(7), 0x7f00'0000'1000, 4096, 12},
                               {sample_site(99), 0x7f00'0000'0000, 0, UINT64_MAX},
                               {sample_site(7), UINT64_MAX, UINT64_MAX, 0}}},
      model::Blocks{.at_ns = 5'000'000'000, .blocks = {}},
      model::FrameNames{
          .module = {1},
          .offset = 0x12345,
          .frames = {{"std::vector<int>::push_back(int&&)", "/usr/include/vector", 12, true},
                     {"leak()", "", 0, false}}},
      model::TraceEnd{.at_ns = 4'000'000'001},
  };
}

/// Types of record that came after format-1.lt was stored.
inline std::vector<model::Record> newer_records() {
  return {
      model::Stack{.id = {8},
                   .image = {1},
                   .end = model::StackEnd::complete,
                   .frames = {{0x1000, {1}, 0x1000}},
                   .by_frame_pointer = 1},
      model::FileLoss{.path = "/usr/lib/lib\xffx.so",
                      .subject = model::FileSubject::symbols,
                      .count = 0,
                      .why = "the build id of its debug file differs"},
      model::FileLoss{.path = "/usr/bin/server",
                      .subject = model::FileSubject::unwind,
                      .count = UINT64_MAX,
                      .why = "malformed .eh_frame"},
      sample_snapshot(3),
      model::Recycled{.at_ns = 3'500'000'000, .stacks = {{7}, {UINT64_MAX}}},
      model::Recycled{.at_ns = 3'500'000'001, .stacks = {}},
      sample_snapshot(4),  // stack 7 has come back
      model::FileLoss{.path = "/usr/lib/x.so",
                      .subject = model::FileSubject::probes,
                      .count = 1,
                      .why = "malloc was changed in memory"},
      model::TraceStart{.unix_ns = 1,
                        .tool_version = "0.1.0",
                        .host = "",
                        .budget_percent = 0.1,
                        .kinds = {model::Kind::mmap, model::Kind::heap, model::Kind::pg_copy}},
      sampled_snapshot(1),
      sampled_snapshot(2),
      model::SiteDetail{.site = sample_site(7, 1, model::Kind::pg_cursor),
                        .sql = "DECLARE \xff CURSOR FOR SELECT $1",
                        .connection = "app@db1:5432/shop",
                        .state = "",
                        .names = {"a", "", "\xff"},
                        .connections = UINT64_MAX},
      model::SiteDetail{.site = sample_site(UINT64_MAX, 2, model::Kind::pg_copy),
                        .sql = "",
                        .connection = "",
                        .state = "copy in",
                        .names = {},
                        .connections = 0},
      model::Connections{},
      sample_connections(),
      sampled_snapshot(3),
      sample_snapshot(4),  // estimates that are no more
      model::Blocks{.at_ns = 4'000'000'000,
                    .blocks = {{sample_site(7), 0x1000, 4096, 12, 128.75},
                               {sample_site(99), 0x2000, 1 << 30, 13, 1}}},
      model::ProcessMemory{.image = {1},
                           .at_ns = UINT64_MAX,
                           .resident_bytes = 1,
                           .anonymous_bytes = 2,
                           .swapped_bytes = 3,
                           .heap_bytes = 4,
                           .minor_faults = 5,
                           .major_faults = 6,
                           .cpu_ns = UINT64_MAX,
                           .limit = {.bytes = 7, .used_bytes = UINT64_MAX, .cgroup = "/a\xff"}},
      model::ProcessMemory{},
      model::NotSeen{.what = model::UnseenSubject::allocator,
                     .name = "/srv/\xff",
                     .why = "it defines mi_malloc",
                     .advice = "link it with malloc's names"},
      model::NotSeen{.what = model::UnseenSubject::resource, .name = "", .why = "", .advice = ""},
  };
}

}  // namespace leaktrace::collect
