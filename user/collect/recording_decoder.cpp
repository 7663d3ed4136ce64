// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <algorithm>

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

Decoded read(const pb::TraceStart& in) {
  return {model::TraceStart{.unix_ns = in.unix_ns(),
                            .tool_version = in.tool_version(),
                            .host = in.host(),
                            .sampling_bytes = in.sampling_bytes(),
                            .min_size = in.min_size(),
                            .max_size = in.max_size()}};
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
  if (subject != model::FileSubject::unwind && subject != model::FileSubject::symbols) {
    return fail(fmt::format("unknown subject {} of a file's loss", in.subject()));
  }
  return {
      model::FileLoss{.path = in.path(), .subject = subject, .count = in.count(), .why = in.why()}};
}

Decoded read(const pb::TraceEnd& in) {
  return {model::TraceEnd{.at_ns = in.at_ns()}};
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
    const auto kind = static_cast<model::Kind>(in.kind(i));
    // The model is what knows the kinds; a number without a name is none of them.
    if (!model::kind_from_name(model::kind_name(kind))) {
      return fail(fmt::format("unknown kind {} of resource", in.kind(i)));
    }
    sites.define({{in.stack(i)}, {in.image(i)}, kind});
  }
  return {};
}

Unexpected undefined_site(std::uint64_t number) {
  return fail(fmt::format("call site {} was never defined", number));
}

Decoded read(const pb::Snapshot& in, NumberedSites& sites) {
  if (!same_length(in.site(), in.acquired_count(), in.acquired_bytes(), in.released_count(),
                   in.released_bytes(), in.since_ns())) {
    return uneven("snapshot");
  }
  auto defined = define_sites(in.defined(), sites);
  if (!defined) return defined.unexpected();
  model::Snapshot out{
      .at_ns = in.at_ns(), .sites = {}, .losses = {}, .probe_hits = in.probe_hits()};
  // A cause of loss that this version has no name for is dropped; an older recording has fewer.
  const auto losses = std::min(out.losses.size(), static_cast<std::size_t>(in.losses_size()));
  std::copy_n(in.losses().begin(), losses, out.losses.begin());
  out.sites.reserve(static_cast<std::size_t>(in.site_size()));
  Summer numbers;
  for (int i = 0; i < in.site_size(); ++i) {
    const std::uint64_t number = numbers.next(in.site(i));
    NumberedSites::Entry* site = sites.find(number);
    if (site == nullptr) return undefined_site(number);
    model::Counters& last = site->last;
    last = {.acquired_count = plus(last.acquired_count, in.acquired_count(i)),
            .acquired_bytes = plus(last.acquired_bytes, in.acquired_bytes(i)),
            .released_count = plus(last.released_count, in.released_count(i)),
            .released_bytes = plus(last.released_bytes, in.released_bytes(i)),
            .since_ns = plus(last.since_ns, in.since_ns(i))};
    out.sites.push_back({site->key, last});
  }
  return {std::move(out)};
}

Decoded read(const pb::Blocks& in, NumberedSites& sites) {
  if (!same_length(in.site(), in.handle(), in.size(), in.acquired_ns())) return uneven("blocks");
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
    out.blocks.push_back(
        {site->key, handles.next(in.handle(i)), in.size(i), times.next(in.acquired_ns(i))});
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
    case pb::Frame::RECORD_NOT_SET:
      break;
  }
  return {std::nullopt};
}

}  // namespace leaktrace::collect
