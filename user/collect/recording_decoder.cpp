// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "recording.pb.h"
#include "user/collect/recording_codec.h"
#include "user/collect/recording_format.h"
#include "user/collect/recording_sites.h"

namespace leaktrace::collect {
namespace {

using Decoded = Result<std::optional<model::Record>>;

/// The inverse of the encoder's differences.
class Summer {
 public:
  std::uint64_t next(std::int64_t difference) {
    last_ += static_cast<std::uint64_t>(difference);
    return last_;
  }

 private:
  std::uint64_t last_ = 0;
};

std::uint64_t plus(std::uint64_t before, std::int64_t difference) {
  return before + static_cast<std::uint64_t>(difference);
}

template <typename First, typename... Others>
bool same_length(const First& first, const Others&... others) {
  return ((others.size() == first.size()) && ...);
}

Unexpected uneven(std::string_view what) {
  return fail(fmt::format("the columns of its {} differ in length", what));
}

/// Of a column that may be left out because it is all the same.
template <typename Column, typename Value>
Value item_or(const Column& column, int i, Value otherwise) {
  return column.empty() ? otherwise : static_cast<Value>(column.Get(i));
}

template <typename Column>
bool is_whole_or_none(const Column& column, int size) {
  return column.empty() || column.size() == size;
}

bool is_amount(double value) {
  return std::isfinite(value) && value >= 0;
}

Unexpected impossible(std::string_view what, double value) {
  return fail(fmt::format("an impossible {}: {}", what, value));
}

Decoded read(const pb::TraceStart& in) {
  if (!is_amount(in.budget_percent())) return impossible("budget", in.budget_percent());
  model::TraceStart out{.unix_ns = in.unix_ns(),
                        .tool_version = in.tool_version(),
                        .host = in.host(),
                        .sampling_bytes = in.sampling_bytes(),
                        .budget_percent = in.budget_percent(),
                        .min_size = in.min_size(),
                        .max_size = in.max_size(),
                        .kinds = {}};
  for (std::uint32_t number : in.kind()) {
    // A kind that a newer leaktrace traced has no sites that this one can read.
    const auto kind = static_cast<model::Kind>(number);
    if (std::ranges::find(model::kKinds, kind) != model::kKinds.end()) out.kinds.push_back(kind);
  }
  return {std::move(out)};
}

Decoded read(const pb::Process& in) {
  return {model::Process{.image = {in.image()},
                         .pid = in.pid(),
                         .comm = in.comm(),
                         .exe = in.exe(),
                         .cgroup = in.cgroup(),
                         .since_ns = in.since_ns()}};
}

Decoded read(const pb::ProcessEnd& in) {
  const auto reason = static_cast<model::EndReason>(in.reason());
  if (reason != model::EndReason::exited && reason != model::EndReason::replaced) {
    return fail(fmt::format("unknown reason {} for the end of a process", in.reason()));
  }
  return {model::ProcessEnd{.image = {in.image()},
                            .reason = reason,
                            .wait_status = in.wait_status(),
                            .at_ns = in.at_ns()}};
}

Decoded read(const pb::Module& in) {
  return {model::Module{.id = {in.id()}, .path = in.path(), .build_id = in.build_id()}};
}

std::optional<model::StackEnd> stack_end(std::uint32_t number) {
  const auto end = static_cast<model::StackEnd>(number);
  switch (end) {
    case model::StackEnd::complete:
    case model::StackEnd::no_row:
    case model::StackEnd::unreadable:
    case model::StackEnd::depth:
    case model::StackEnd::no_mapping:
    case model::StackEnd::rule:
      return end;
  }
  return std::nullopt;
}

Decoded read(const pb::Stack& in) {
  const auto end = stack_end(in.end());
  if (!end) return fail(fmt::format("unknown end {} of a stack", in.end()));
  if (!same_length(in.address(), in.module(), in.offset())) return uneven("stack");
  model::Stack out{.id = {in.id()},
                   .image = {in.image()},
                   .end = *end,
                   .frames = {},
                   .by_frame_pointer = in.by_frame_pointer()};
  out.frames.reserve(static_cast<std::size_t>(in.address_size()));
  Summer address;
  for (int i = 0; i < in.address_size(); ++i) {
    out.frames.push_back({address.next(in.address(i)), {in.module(i)}, in.offset(i)});
  }
  return {std::move(out)};
}

Decoded read(const pb::FrameNames& in) {
  if (!same_length(in.function(), in.file(), in.line(), in.inlined())) return uneven("names");
  model::FrameNames out{.module = {in.module()}, .offset = in.offset(), .frames = {}};
  out.frames.reserve(static_cast<std::size_t>(in.function_size()));
  for (int i = 0; i < in.function_size(); ++i) {
    out.frames.push_back({in.function(i), in.file(i), in.line(i), in.inlined(i)});
  }
  return {std::move(out)};
}

Decoded read(const pb::FileLoss& in) {
  const auto subject = static_cast<model::FileSubject>(in.subject());
  switch (subject) {
    case model::FileSubject::unwind:
    case model::FileSubject::symbols:
    case model::FileSubject::probes:
      return {model::FileLoss{
          .path = in.path(), .subject = subject, .count = in.count(), .why = in.why()}};
  }
  return {std::nullopt};  // of something that a newer leaktrace reads files for
}

Decoded read(const pb::NotSeen& in) {
  const auto what = static_cast<model::UnseenSubject>(in.what());
  switch (what) {
    case model::UnseenSubject::allocator:
    case model::UnseenSubject::file:
    case model::UnseenSubject::process:
    case model::UnseenSubject::work:
    case model::UnseenSubject::socket:
    case model::UnseenSubject::resource:
      return {
          model::NotSeen{.what = what, .name = in.name(), .why = in.why(), .advice = in.advice()}};
  }
  return {std::nullopt};  // of something that a newer leaktrace tells of
}

Decoded read(const pb::TraceEnd& in) {
  return {model::TraceEnd{.at_ns = in.at_ns()}};
}

/// The kind of that number, which must be one that the model has a name for.
Result<model::Kind> kind_of(std::uint32_t number) {
  const auto kind = static_cast<model::Kind>(number);
  if (!model::kind_from_name(model::kind_name(kind))) {
    return fail(fmt::format("unknown kind {} of resource", number));
  }
  return kind;
}

Decoded read(const pb::SiteDetail& in) {
  const auto kind = kind_of(in.kind());
  if (!kind) return kind.unexpected();
  model::SiteDetail out{.site = {{in.stack()}, {in.image()}, *kind},
                        .sql = in.sql(),
                        .connection = in.connection(),
                        .state = in.state(),
                        .names = {in.name().begin(), in.name().end()},
                        .connections = in.connections()};
  return {std::move(out)};
}

Result<model::Connection> read_connection(const pb::Connection& in) {
  if (in.state() > static_cast<std::uint32_t>(model::ConnectionState::broken)) {
    return fail(fmt::format("unknown state {} of a connection", in.state()));
  }
  model::Connection out{.image = {in.image()},
                        .handle = in.handle(),
                        .host = in.host(),
                        .port = in.port(),
                        .database = in.database(),
                        .user = in.user(),
                        .state = static_cast<model::ConnectionState>(in.state()),
                        .from_start = in.from_start(),
                        .since_ns = in.since_ns(),
                        .state_since_ns = in.state_since_ns(),
                        .transaction_since_ns = in.transaction_since_ns(),
                        .open_count = in.open_count(),
                        .open_by_kind = {},
                        .open = {}};
  if (!same_length(in.kind(), in.kind_count())) return uneven("connection");
  for (int i = 0; i < in.kind_size(); ++i) {
    const auto kind = kind_of(in.kind(i));
    if (!kind) return kind.unexpected();
    out.open_by_kind[*kind] = in.kind_count(i);
  }
  for (const pb::OpenResource& open : in.open()) {
    const auto kind = kind_of(open.kind());
    if (!kind) return kind.unexpected();
    out.open.push_back(
        {*kind, open.name(), open.sql(), open.state(), open.since_ns(), {open.stack()}});
  }
  return out;
}

Decoded read(const pb::Connections& in) {
  model::Connections out{.at_ns = in.at_ns(), .count = in.count(), .connections = {}};
  for (const pb::Connection& one : in.connection()) {
    auto connection = read_connection(one);
    if (!connection) return connection.unexpected();
    out.connections.push_back(std::move(*connection));
  }
  return {std::move(out)};
}

Decoded read(const pb::ProcessMemory& in) {
  return {model::ProcessMemory{.image = {in.image()},
                               .at_ns = in.at_ns(),
                               .resident_bytes = in.resident_bytes(),
                               .anonymous_bytes = in.anonymous_bytes(),
                               .swapped_bytes = in.swapped_bytes(),
                               .heap_bytes = in.heap_bytes(),
                               .minor_faults = in.minor_faults(),
                               .major_faults = in.major_faults(),
                               .cpu_ns = in.cpu_ns(),
                               .limit = {.bytes = in.limit_bytes(),
                                         .used_bytes = in.limit_used_bytes(),
                                         .cgroup = in.limit_cgroup()}}};
}

Decoded read(const pb::Recycled& in, NumberedSites& sites) {
  model::Recycled out{.at_ns = in.at_ns(), .stacks = {}};
  out.stacks.reserve(static_cast<std::size_t>(in.stack_size()));
  for (std::uint64_t stack : in.stack()) out.stacks.push_back({stack});
  sites.forget(out.stacks);
  return {std::move(out)};
}

Result<void> define_sites(const pb::SiteDefinitions& in, NumberedSites& sites) {
  if (!same_length(in.stack(), in.image(), in.kind())) return uneven("call sites");
  for (int i = 0; i < in.stack_size(); ++i) {
    const auto kind = kind_of(in.kind(i));
    if (!kind) return kind.unexpected();
    sites.define({{in.stack(i)}, {in.image(i)}, *kind});
  }
  return {};
}

Unexpected undefined_site(std::uint64_t number) {
  return fail(fmt::format("call site {} was never defined", number));
}

Result<void> check(const pb::Estimates& in, int sites) {
  if (!is_whole_or_none(in.acquired_samples(), sites) ||
      !is_whole_or_none(in.released_samples(), sites) ||
      !is_whole_or_none(in.unseen_count(), sites) || !is_whole_or_none(in.unseen_bytes(), sites) ||
      !is_whole_or_none(in.count_variance(), sites) ||
      !is_whole_or_none(in.bytes_variance(), sites)) {
    return uneven("estimates");
  }
  for (const auto* column : {&in.count_variance(), &in.bytes_variance()}) {
    for (double variance : *column) {
      if (!is_amount(variance)) return impossible("variance", variance);
    }
  }
  return {};
}

model::Estimate next_estimate(const model::Estimate& last, const pb::Estimates& in, int i) {
  constexpr std::int64_t kUnchanged = 0;
  return {.acquired_samples =
              plus(last.acquired_samples, item_or(in.acquired_samples(), i, kUnchanged)),
          .released_samples =
              plus(last.released_samples, item_or(in.released_samples(), i, kUnchanged)),
          .count_variance = item_or(in.count_variance(), i, 0.0),
          .bytes_variance = item_or(in.bytes_variance(), i, 0.0),
          .unseen_count = plus(last.unseen_count, item_or(in.unseen_count(), i, kUnchanged)),
          .unseen_bytes = plus(last.unseen_bytes, item_or(in.unseen_bytes(), i, kUnchanged))};
}

Result<model::Overhead> read(const pb::Overhead& in) {
  for (double value : {in.nanoseconds_per_hit(), in.percent_of_target_cpu()}) {
    if (!is_amount(value)) return impossible("overhead", value);
  }
  return model::Overhead{.sampling_bytes = in.sampling_bytes(),
                         .observed_ns = in.observed_ns(),
                         .nanoseconds_per_hit = in.nanoseconds_per_hit(),
                         .percent_of_target_cpu = in.percent_of_target_cpu()};
}

model::Counters next_counters(const model::Counters& last, const pb::Snapshot& in, int i) {
  return {.acquired_count = plus(last.acquired_count, in.acquired_count(i)),
          .acquired_bytes = plus(last.acquired_bytes, in.acquired_bytes(i)),
          .released_count = plus(last.released_count, in.released_count(i)),
          .released_bytes = plus(last.released_bytes, in.released_bytes(i)),
          .since_ns = plus(last.since_ns, in.since_ns(i)),
          .estimate = next_estimate(last.estimate, in.estimates(), i)};
}

Decoded read(const pb::Snapshot& in, NumberedSites& sites) {
  if (!same_length(in.site(), in.acquired_count(), in.acquired_bytes(), in.released_count(),
                   in.released_bytes(), in.since_ns())) {
    return uneven("snapshot");
  }
  if (auto sound = check(in.estimates(), in.site_size()); !sound) return sound.unexpected();
  auto overhead = read(in.overhead());
  if (!overhead) return overhead.unexpected();
  auto defined = define_sites(in.defined(), sites);
  if (!defined) return defined.unexpected();
  model::Snapshot out{.at_ns = in.at_ns(),
                      .sites = {},
                      .losses = {},
                      .probe_hits = in.probe_hits(),
                      .overhead = *overhead};
  // A cause of loss that this version has no name for is dropped; an older recording has fewer.
  const auto losses = std::min(out.losses.size(), static_cast<std::size_t>(in.losses_size()));
  std::copy_n(in.losses().begin(), losses, out.losses.begin());
  out.sites.reserve(static_cast<std::size_t>(in.site_size()));
  Summer numbers;
  for (int i = 0; i < in.site_size(); ++i) {
    const std::uint64_t number = numbers.next(in.site(i));
    NumberedSites::Entry* site = sites.find(number);
    if (site == nullptr) return undefined_site(number);
    site->last = next_counters(site->last, in, i);
    out.sites.push_back({site->key, site->last});
  }
  return {std::move(out)};
}

Decoded read(const pb::Blocks& in, NumberedSites& sites) {
  if (!same_length(in.site(), in.handle(), in.size(), in.acquired_ns()) ||
      !is_whole_or_none(in.stands_for(), in.site_size())) {
    return uneven("blocks");
  }
  const auto count = static_cast<std::size_t>(in.site_size());
  if (count > kBlocksPerFrame) {
    return fail(fmt::format("{} blocks in one record, of at most {}", count, kBlocksPerFrame));
  }
  auto defined = define_sites(in.defined(), sites);
  if (!defined) return defined.unexpected();
  model::Blocks out{.at_ns = in.at_ns(), .blocks = {}};
  out.blocks.reserve(count);
  Summer numbers;
  Summer handles;
  Summer times;
  for (int i = 0; i < in.site_size(); ++i) {
    const std::uint64_t number = numbers.next(in.site(i));
    const NumberedSites::Entry* site = sites.find(number);
    if (site == nullptr) return undefined_site(number);
    const double stands_for = item_or(in.stands_for(), i, 1.0);
    if (!is_amount(stands_for)) return impossible("weight of a block", stands_for);
    out.blocks.push_back({.site = site->key,
                          .handle = handles.next(in.handle(i)),
                          .size = in.size(i),
                          .acquired_ns = times.next(in.acquired_ns(i)),
                          .stands_for = stands_for});
  }
  return {std::move(out)};
}

}  // namespace

struct RecordDecoder::State {
  NumberedSites sites;
  pb::Frame frame;  ///< kept, so that its columns keep their memory
};

RecordDecoder::RecordDecoder() : state_(std::make_unique<State>()) {}
RecordDecoder::~RecordDecoder() = default;
RecordDecoder::RecordDecoder(RecordDecoder&&) noexcept = default;
RecordDecoder& RecordDecoder::operator=(RecordDecoder&&) noexcept = default;

Decoded RecordDecoder::decode(std::string_view payload) {
  pb::Frame& frame = state_->frame;
  frame.Clear();
  if (!frame.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) {
    return fail("its content is no record");
  }
  switch (frame.record_case()) {
    case pb::Frame::kTraceStart:
      return read(frame.trace_start());
    case pb::Frame::kProcess:
      return read(frame.process());
    case pb::Frame::kProcessEnd:
      return read(frame.process_end());
    case pb::Frame::kModule:
      return read(frame.module());
    case pb::Frame::kStack:
      return read(frame.stack());
    case pb::Frame::kSnapshot:
      return read(frame.snapshot(), state_->sites);
    case pb::Frame::kBlocks:
      return read(frame.blocks(), state_->sites);
    case pb::Frame::kFrameNames:
      return read(frame.frame_names());
    case pb::Frame::kTraceEnd:
      return read(frame.trace_end());
    case pb::Frame::kRecycled:
      return read(frame.recycled(), state_->sites);
    case pb::Frame::kFileLoss:
      return read(frame.file_loss());
    case pb::Frame::kSiteDetail:
      return read(frame.site_detail());
    case pb::Frame::kConnections:
      return read(frame.connections());
    case pb::Frame::kProcessMemory:
      return read(frame.process_memory());
    case pb::Frame::kNotSeen:
      return read(frame.not_seen());
    case pb::Frame::RECORD_NOT_SET:
      break;
  }
  return {std::nullopt};
}

}  // namespace leaktrace::collect
