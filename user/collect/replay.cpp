// SPDX-License-Identifier: Apache-2.0
#include "user/collect/replay.h"

#include <fcntl.h>
#include <fmt/core.h>

#include <cerrno>
#include <optional>
#include <variant>

#include "user/base/file.h"
#include "user/base/unique_fd.h"
#include "user/collect/recording_codec.h"
#include "user/collect/recording_format.h"
#include "user/collect/recording_input.h"

namespace leaktrace::collect {
namespace {

/// Holds the records of one walk of blocks to their limit over all of them.
class WalkLimit {
 public:
  [[nodiscard]] bool allows(const model::Record& record) {
    const auto* walk = std::get_if<model::Blocks>(&record);
    if (walk == nullptr) return true;
    if (walk->at_ns != at_ns_) blocks_ = 0;
    at_ns_ = walk->at_ns;
    blocks_ += walk->blocks.size();
    return blocks_ <= kMaxBlocksPerWalk;
  }

 private:
  std::uint64_t at_ns_ = 0;
  std::size_t blocks_ = 0;
};

std::string damaged(std::uint64_t at, std::string_view why) {
  return fmt::format("damaged at byte {}: {}", at, why);
}

}  // namespace

ReplaySource::ReplaySource(std::unique_ptr<RecordingInput> input) : input_(std::move(input)) {}
ReplaySource::ReplaySource(ReplaySource&&) noexcept = default;
ReplaySource& ReplaySource::operator=(ReplaySource&&) noexcept = default;
ReplaySource::~ReplaySource() = default;

Result<ReplaySource> ReplaySource::open(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail(describe_errno("cannot open the recording " + path, errno));
  auto input = std::make_unique<RecordingInput>(std::move(fd), path);
  auto header = input->read_header();
  if (!header) return header.unexpected();
  return ReplaySource(std::move(input));
}

Result<ReplaySource> ReplaySource::from_bytes(std::string_view bytes, std::string name) {
  auto input = std::make_unique<RecordingInput>(bytes, std::move(name));
  auto header = input->read_header();
  if (!header) return header.unexpected();
  return ReplaySource(std::move(input));
}

Result<ReplaySummary> ReplaySource::replay(RecordSink& sink) {
  ReplaySummary summary;
  summary.bytes_read = input_->position();
  summary.cut_off = true;
  RecordDecoder decoder;
  WalkLimit limit;
  std::string_view payload;
  while (input_->next_frame(payload)) {
    auto decoded = decoder.decode(payload);
    if (!decoded) {
      summary.reason = damaged(input_->frame_start(), decoded.error().what);
      return summary;
    }
    summary.bytes_read = input_->position();
    const std::optional<model::Record>& record = *decoded;
    if (!record) {
      ++summary.unknown_records;
      continue;
    }
    if (!limit.allows(*record)) {
      summary.reason = damaged(input_->frame_start(),
                               fmt::format("more than {} single blocks", kMaxBlocksPerWalk));
      return summary;
    }
    auto accepted = sink.accept(*record);
    if (!accepted) return accepted.unexpected();
    ++summary.records;
    if (!std::holds_alternative<model::TraceEnd>(*record)) continue;
    summary.cut_off = false;
    if (input_->has_more()) {
      summary.reason =
          fmt::format("what follows the end record at byte {} was not read", summary.bytes_read);
    }
    return summary;
  }
  summary.reason =
      !input_->reason().empty()
          ? input_->reason()
          : fmt::format("cut off at byte {}: the trace had no end record", summary.bytes_read);
  return summary;
}

}  // namespace leaktrace::collect
