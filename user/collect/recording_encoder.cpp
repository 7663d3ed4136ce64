// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <variant>

#include "leaktrace/abi.h"
#include "recording.pb.h"
#include "user/collect/recording_codec.h"
#include "user/collect/recording_sites.h"

namespace leaktrace::collect {
namespace {

/// Turns values into differences, modulo 2^64, so that any sequence survives.
class Differ {
 public:
  std::int64_t next(std::uint64_t value) {
    const std::uint64_t difference = value - last_;
    last_ = value;
    return static_cast<std::int64_t>(difference);
  }

 private:
  std::uint64_t last_ = 0;
};

std::int64_t difference(std::uint64_t now, std::uint64_t before) {
  return static_cast<std::int64_t>(now - before);
}

std::uint32_t number_site(const model::SiteKey& key, SiteNumbers& sites,
                          pb::SiteDefinitions& defined) {
  const auto [number, is_new] = sites.number(key);
  if (is_new) {
    defined.add_stack(key.stack.value);
    defined.add_image(key.image.value);
    defined.add_kind(static_cast<std::uint32_t>(key.kind));
  }
  return number;
}

/// A column that would be all zeros, or all differences of 0, is left out.
template <typename Column>
void drop_zeros(Column& column) {
  if (std::ranges::all_of(column, [](auto value) { return value == 0; })) column.Clear();
}

void add_estimate(const model::Estimate& now, const model::Estimate& before, pb::Estimates& out) {
  out.add_acquired_samples(difference(now.acquired_samples, before.acquired_samples));
  out.add_released_samples(difference(now.released_samples, before.released_samples));
  out.add_unseen_count(difference(now.unseen_count, before.unseen_count));
  out.add_unseen_bytes(difference(now.unseen_bytes, before.unseen_bytes));
  out.add_count_variance(now.count_variance);
  out.add_bytes_variance(now.bytes_variance);
}

void drop_zeros(pb::Estimates& out) {
  drop_zeros(*out.mutable_acquired_samples());
  drop_zeros(*out.mutable_released_samples());
  drop_zeros(*out.mutable_unseen_count());
  drop_zeros(*out.mutable_unseen_bytes());
  drop_zeros(*out.mutable_count_variance());
  drop_zeros(*out.mutable_bytes_variance());
}

void fill_overhead(const model::Overhead& overhead, pb::Overhead& out) {
  out.set_sampling_bytes(overhead.sampling_bytes);
  out.set_observed_ns(overhead.observed_ns);
  out.set_nanoseconds_per_hit(overhead.nanoseconds_per_hit);
  out.set_percent_of_target_cpu(overhead.percent_of_target_cpu);
}

/// A trace that has nothing to do with PostgreSQL takes no byte for its losses.
std::size_t losses_to_write(const model::Losses& losses) {
  std::size_t count = losses.size();
  while (count > LT_LOSS_PG_TEXT_CUT && losses[count - 1] == 0) --count;
  return count;
}

void fill_snapshot(const model::Snapshot& record, SiteNumbers& sites, pb::Snapshot& out) {
  out.set_at_ns(record.at_ns);
  out.set_probe_hits(record.probe_hits);
  for (std::size_t i = 0; i < losses_to_write(record.losses); ++i) out.add_losses(record.losses[i]);
  if (record.overhead != model::Overhead{}) fill_overhead(record.overhead, *out.mutable_overhead());
  pb::Estimates& estimates = *out.mutable_estimates();
  Differ numbers;
  for (const model::SiteCounters& reading : record.sites) {
    const std::uint32_t number = number_site(reading.site, sites, *out.mutable_defined());
    out.add_site(numbers.next(number));
    const model::Counters& now = reading.counters;
    model::Counters& before = sites.last(reading.site);
    out.add_acquired_count(difference(now.acquired_count, before.acquired_count));
    out.add_acquired_bytes(difference(now.acquired_bytes, before.acquired_bytes));
    out.add_released_count(difference(now.released_count, before.released_count));
    out.add_released_bytes(difference(now.released_bytes, before.released_bytes));
    out.add_since_ns(difference(now.since_ns, before.since_ns));
    add_estimate(now.estimate, before.estimate, estimates);
    before = now;
  }
  drop_zeros(estimates);
  if (estimates.ByteSizeLong() == 0) out.clear_estimates();
}

void fill_blocks(const model::Blocks& walk, std::size_t first, std::size_t count,
                 SiteNumbers& sites, pb::Blocks& out) {
  out.set_at_ns(walk.at_ns);
  Differ numbers;
  Differ handles;
  Differ times;
  for (std::size_t i = first; i < first + count; ++i) {
    const model::Block& block = walk.blocks[i];
    out.add_site(numbers.next(number_site(block.site, sites, *out.mutable_defined())));
    out.add_handle(handles.next(block.handle));
    out.add_size(block.size);
    out.add_acquired_ns(times.next(block.acquired_ns));
    out.add_stands_for(block.stands_for);
  }
  const auto& stands_for = out.stands_for();
  if (std::ranges::all_of(stands_for, [](double n) { return n == 1; })) out.clear_stands_for();
}

void fill_connection(const model::Connection& connection, pb::Connection& out) {
  out.set_image(connection.image.value);
  out.set_handle(connection.handle);
  out.set_host(connection.host);
  out.set_port(connection.port);
  out.set_database(connection.database);
  out.set_user(connection.user);
  out.set_state(static_cast<std::uint32_t>(connection.state));
  out.set_from_start(connection.from_start);
  out.set_since_ns(connection.since_ns);
  out.set_state_since_ns(connection.state_since_ns);
  out.set_transaction_since_ns(connection.transaction_since_ns);
  out.set_open_count(connection.open_count);
  for (const auto& [kind, count] : connection.open_by_kind) {
    out.add_kind(static_cast<std::uint32_t>(kind));
    out.add_kind_count(count);
  }
  for (const model::OpenResource& open : connection.open) {
    pb::OpenResource& one = *out.add_open();
    one.set_kind(static_cast<std::uint32_t>(open.kind));
    one.set_name(open.name);
    one.set_sql(open.sql);
    one.set_state(open.state);
    one.set_since_ns(open.since_ns);
    one.set_stack(open.stack.value);
  }
}

/// Puts a record into a frame: one overload a type, so that a new one cannot be forgotten.
struct Filler {
  pb::Frame& frame;
  SiteNumbers& sites;

  void operator()(const model::TraceStart& record) const {
    auto& out = *frame.mutable_trace_start();
    out.set_unix_ns(record.unix_ns);
    out.set_tool_version(record.tool_version);
    out.set_host(record.host);
    out.set_sampling_bytes(record.sampling_bytes);
    out.set_min_size(record.min_size);
    out.set_max_size(record.max_size);
    out.set_budget_percent(record.budget_percent);
    for (model::Kind kind : record.kinds) out.add_kind(static_cast<std::uint32_t>(kind));
  }

  void operator()(const model::Process& record) const {
    auto& out = *frame.mutable_process();
    out.set_image(record.image.value);
    out.set_pid(record.pid);
    out.set_comm(record.comm);
    out.set_exe(record.exe);
    out.set_cgroup(record.cgroup);
    out.set_since_ns(record.since_ns);
  }

  void operator()(const model::ProcessEnd& record) const {
    auto& out = *frame.mutable_process_end();
    out.set_image(record.image.value);
    out.set_reason(static_cast<std::uint32_t>(record.reason));
    out.set_wait_status(record.wait_status);
    out.set_at_ns(record.at_ns);
  }

  void operator()(const model::Module& record) const {
    auto& out = *frame.mutable_module();
    out.set_id(record.id.value);
    out.set_path(record.path);
    out.set_build_id(record.build_id);
  }

  void operator()(const model::Stack& record) const {
    auto& out = *frame.mutable_stack();
    out.set_id(record.id.value);
    out.set_image(record.image.value);
    out.set_end(static_cast<std::uint32_t>(record.end));
    out.set_by_frame_pointer(record.by_frame_pointer);
    Differ address;
    for (const model::RawFrame& raw : record.frames) {
      out.add_address(address.next(raw.address));
      out.add_module(raw.module.value);
      out.add_offset(raw.offset);
    }
  }

  void operator()(const model::FrameNames& record) const {
    auto& out = *frame.mutable_frame_names();
    out.set_module(record.module.value);
    out.set_offset(record.offset);
    for (const model::SourceFrame& source : record.frames) {
      out.add_function(source.function);
      out.add_file(source.file);
      out.add_line(source.line);
      out.add_inlined(source.inlined);
    }
  }

  void operator()(const model::Snapshot& record) const {
    fill_snapshot(record, sites, *frame.mutable_snapshot());
  }

  void operator()(const model::Blocks& record) const {
    fill_blocks(record, 0, record.blocks.size(), sites, *frame.mutable_blocks());
  }

  void operator()(const model::Recycled& record) const {
    auto& out = *frame.mutable_recycled();
    out.set_at_ns(record.at_ns);
    for (model::StackId stack : record.stacks) out.add_stack(stack.value);
    sites.forget(record.stacks);
  }

  void operator()(const model::FileLoss& record) const {
    auto& out = *frame.mutable_file_loss();
    out.set_path(record.path);
    out.set_subject(static_cast<std::uint32_t>(record.subject));
    out.set_count(record.count);
    out.set_why(record.why);
  }

  void operator()(const model::SiteDetail& record) const {
    auto& out = *frame.mutable_site_detail();
    out.set_stack(record.site.stack.value);
    out.set_image(record.site.image.value);
    out.set_kind(static_cast<std::uint32_t>(record.site.kind));
    out.set_sql(record.sql);
    out.set_connection(record.connection);
    out.set_state(record.state);
    for (const std::string& name : record.names) out.add_name(name);
    out.set_connections(record.connections);
  }

  void operator()(const model::Connections& record) const {
    auto& out = *frame.mutable_connections();
    out.set_at_ns(record.at_ns);
    out.set_count(record.count);
    for (const model::Connection& one : record.connections) {
      fill_connection(one, *out.add_connection());
    }
  }

  void operator()(const model::ProcessMemory& record) const {
    auto& out = *frame.mutable_process_memory();
    out.set_image(record.image.value);
    out.set_at_ns(record.at_ns);
    out.set_resident_bytes(record.resident_bytes);
    out.set_anonymous_bytes(record.anonymous_bytes);
    out.set_swapped_bytes(record.swapped_bytes);
    out.set_heap_bytes(record.heap_bytes);
    out.set_minor_faults(record.minor_faults);
    out.set_major_faults(record.major_faults);
    out.set_limit_bytes(record.limit.bytes);
    out.set_limit_used_bytes(record.limit.used_bytes);
    out.set_limit_cgroup(record.limit.cgroup);
    out.set_cpu_ns(record.cpu_ns);
  }

  void operator()(const model::NotSeen& record) const {
    auto& out = *frame.mutable_not_seen();
    out.set_what(static_cast<std::uint32_t>(record.what));
    out.set_name(record.name);
    out.set_why(record.why);
    out.set_advice(record.advice);
  }

  void operator()(const model::TraceEnd& record) const {
    frame.mutable_trace_end()->set_at_ns(record.at_ns);
  }
};

}  // namespace

struct RecordEncoder::State {
  SiteNumbers sites;
  pb::Frame frame;  ///< kept, so that its columns keep their memory
};

RecordEncoder::RecordEncoder() : state_(std::make_unique<State>()) {}
RecordEncoder::~RecordEncoder() = default;
RecordEncoder::RecordEncoder(RecordEncoder&&) noexcept = default;
RecordEncoder& RecordEncoder::operator=(RecordEncoder&&) noexcept = default;

void RecordEncoder::encode(const model::Record& record, std::string& out) {
  pb::Frame& frame = state_->frame;
  frame.Clear();
  std::visit(Filler{frame, state_->sites}, record);
  frame.AppendToString(&out);
}

void RecordEncoder::encode(const model::Blocks& walk, std::size_t first, std::size_t count,
                           std::string& out) {
  pb::Frame& frame = state_->frame;
  frame.Clear();
  fill_blocks(walk, first, count, state_->sites, *frame.mutable_blocks());
  frame.AppendToString(&out);
}

}  // namespace leaktrace::collect
