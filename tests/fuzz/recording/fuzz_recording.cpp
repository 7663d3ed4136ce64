// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/recording/fuzz_recording.h"

#include <fmt/core.h>
#include <zlib.h>

#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "user/collect/recording_codec.h"
#include "user/collect/recording_format.h"
#include "user/collect/replay.h"

namespace leaktrace::fuzz {
namespace {

using collect::kFrameHeaderSize;
using collect::kRecordingHeaderSize;

void require(bool holds, const char* what) {
  if (holds) return;
  fmt::print(stderr, "broken: {}\n", what);
  std::abort();
}

class Keep final : public collect::RecordSink {
 public:
  Result<void> accept(const model::Record& record) override {
    trace.apply(record);
    records.push_back(record);
    return {};
  }
  model::Trace trace;
  std::vector<model::Record> records;
};

void seal(char* frame, std::size_t length) {
  const auto* payload = reinterpret_cast<const Bytef*>(frame + kFrameHeaderSize);
  collect::put_u32(frame, static_cast<std::uint32_t>(length));
  collect::put_u32(frame + 4, static_cast<std::uint32_t>(::crc32_z(0, payload, length)));
}

void repair(std::string& bytes) {
  std::size_t at = kRecordingHeaderSize;
  while (at + kFrameHeaderSize <= bytes.size()) {
    const std::size_t length = collect::get_u32(bytes.data() + at);
    if (length > bytes.size() - at - kFrameHeaderSize) return;
    seal(bytes.data() + at, length);
    at += kFrameHeaderSize + length;
  }
}

void read(std::string_view bytes, Keep& kept) {
  auto source = collect::ReplaySource::from_bytes(bytes, "input");
  if (!source) {
    require(!source.error().what.empty(), "an error says what it is");
    return;
  }
  auto summary = source->replay(kept);
  require(summary.has_value(), "only the sink can fail");
  require(summary->bytes_read <= bytes.size(), "no more is read than there is");
  require(summary->records == kept.records.size(), "records are counted");
  require(!summary->cut_off || !summary->reason.empty(), "what is missing is said");
  require(summary->cut_off != kept.trace.ended(), "the end record ends a recording");
}

std::string write(const std::vector<model::Record>& records) {
  std::string bytes(collect::kRecordingMagic);
  bytes.resize(kRecordingHeaderSize);
  collect::put_u32(bytes.data() + collect::kRecordingMagic.size(), collect::kRecordingVersion);
  collect::RecordEncoder encoder;
  for (const model::Record& record : records) {
    const std::size_t at = bytes.size();
    bytes.resize(at + kFrameHeaderSize);
    encoder.encode(record, bytes);
    seal(bytes.data() + at, bytes.size() - at - kFrameHeaderSize);
  }
  return bytes;
}

}  // namespace

void fuzz_recording(const std::uint8_t* data, std::size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  Keep as_it_is;
  read(bytes, as_it_is);
  repair(bytes);
  Keep repaired;
  read(bytes, repaired);
  Keep again;
  read(write(repaired.records), again);
  require(again.records == repaired.records, "what was read can be written and read again");
}

}  // namespace leaktrace::fuzz
