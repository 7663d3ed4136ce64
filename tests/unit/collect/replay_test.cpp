// SPDX-License-Identifier: Apache-2.0
// Recordings that are cut off, damaged, foreign or hostile.
#include "user/collect/replay.h"

#include <gmock/gmock.h>
#include <zlib.h>

#include <cmath>

#include "recording.pb.h"
#include "tests/unit/collect/sample_records.h"
#include "user/collect/recording_codec.h"
#include "user/collect/recording_format.h"

namespace leaktrace::collect {
namespace {

using ::testing::HasSubstr;

std::string header(std::uint32_t version = kRecordingVersion) {
  std::string bytes(kRecordingMagic);
  bytes.resize(kRecordingHeaderSize);
  put_u32(bytes.data() + kRecordingMagic.size(), version);
  return bytes;
}

std::string frame(std::string_view payload) {
  std::string bytes(kFrameHeaderSize, '\0');
  put_u32(bytes.data(), static_cast<std::uint32_t>(payload.size()));
  const auto* data = reinterpret_cast<const Bytef*>(payload.data());
  put_u32(bytes.data() + 4, static_cast<std::uint32_t>(::crc32_z(0, data, payload.size())));
  return bytes.append(payload);
}

std::string frame(const pb::Frame& content) {
  return frame(content.SerializeAsString());
}

/// The sample as a recording, and where each of its records ends.
std::string sample_recording(std::vector<std::size_t>* ends = nullptr) {
  std::string bytes = header();
  RecordEncoder encoder;
  for (const model::Record& record : sample_records()) {
    std::string payload;
    encoder.encode(record, payload);
    bytes += frame(payload);
    if (ends != nullptr) ends->push_back(bytes.size());
  }
  return bytes;
}

std::string open_error(std::string_view bytes) {
  auto source = ReplaySource::from_bytes(bytes, "x.lt");
  return source ? "" : source.error().message();
}

ReplaySummary replay(std::string_view bytes, RecordList& list) {
  auto source = ReplaySource::from_bytes(bytes, "x.lt");
  EXPECT_TRUE(source);
  if (!source) return {};
  auto summary = source->replay(list);
  EXPECT_TRUE(summary);
  return summary ? *summary : ReplaySummary{};
}

/// Reads a recording of this one frame, which must be refused.
std::string refusal(const pb::Frame& content) {
  RecordList list;
  const std::string bytes = header() + frame(content);
  const ReplaySummary summary = replay(bytes, list);
  EXPECT_EQ(summary.records, 0U);
  EXPECT_TRUE(summary.cut_off);
  EXPECT_THAT(summary.reason, HasSubstr("damaged at byte 13: "));
  return summary.reason;
}

TEST(ReplayTest, WhatIsNoRecordingIsNamed) {
  auto missing = ReplaySource::open("/nonexistent/x.lt");
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().what, HasSubstr("/nonexistent/x.lt: No such file"));
  auto folder = ReplaySource::open("/tmp");
  ASSERT_FALSE(folder);
  EXPECT_EQ(folder.error().what, "/tmp is a folder, not a recording");
  auto empty = ReplaySource::open("/dev/null");
  ASSERT_FALSE(empty);
  EXPECT_EQ(empty.error().what, "/dev/null is empty: it is not a recording");
  auto source_file = ReplaySource::open(LEAKTRACE_SOURCE_DIR "/CMakeLists.txt");
  ASSERT_FALSE(source_file);
  EXPECT_THAT(source_file.error().what, HasSubstr("CMakeLists.txt is not a leaktrace recording"));
  EXPECT_THAT(open_error("LEAKTRACES"), HasSubstr("cut off within its first 13 bytes"));
  EXPECT_THAT(open_error("x"), HasSubstr("x.lt is not a leaktrace recording"));
  EXPECT_THAT(open_error(header(0)), HasSubstr("x.lt is not a leaktrace recording"));
}

TEST(ReplayTest, ANewerFormatIsRefused) {
  EXPECT_THAT(open_error(header(2)),
              HasSubstr("x.lt: the recording was written by a newer leaktrace (format 2, this one "
                        "reads up to 1)"));
}

TEST(ReplayTest, WhereverItIsCutOffTheWholeRecordsAreRead) {
  std::vector<std::size_t> ends;
  const std::string whole = sample_recording(&ends);
  const auto records = sample_records();
  for (std::size_t length = kRecordingHeaderSize; length < whole.size(); ++length) {
    RecordList list;
    const ReplaySummary summary = replay(std::string_view(whole).substr(0, length), list);
    const auto complete = static_cast<std::size_t>(
        std::ranges::count_if(ends, [length](std::size_t end) { return end <= length; }));
    EXPECT_EQ(summary.records, complete);
    EXPECT_EQ(list.records,
              std::vector(records.begin(), records.begin() + static_cast<long>(complete)));
    EXPECT_EQ(summary.bytes_read, complete == 0 ? kRecordingHeaderSize : ends[complete - 1]);
    EXPECT_TRUE(summary.cut_off);
    EXPECT_THAT(summary.reason, HasSubstr("cut off at byte " + std::to_string(length) + ": "));
    const bool between = length == summary.bytes_read;
    EXPECT_THAT(summary.reason,
                HasSubstr(between ? "the trace had no end record" : "is incomplete"));
  }
}

TEST(ReplayTest, AnyFlippedByteEndsReadingBeforeItsRecord) {
  std::vector<std::size_t> ends;
  const std::string whole = sample_recording(&ends);
  const auto records = sample_records();
  for (std::size_t at = kRecordingHeaderSize; at < whole.size(); ++at) {
    std::string bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
    RecordList list;
    const ReplaySummary summary = replay(bytes, list);
    const auto before = static_cast<std::size_t>(
        std::ranges::count_if(ends, [at](std::size_t end) { return end <= at; }));
    EXPECT_EQ(summary.records, before) << "byte " << at;
    EXPECT_TRUE(summary.cut_off);
    EXPECT_FALSE(summary.reason.empty());
  }
}

TEST(ReplayTest, ABadChecksumIsSaid) {
  std::vector<std::size_t> ends;
  std::string bytes = sample_recording(&ends);
  bytes[ends[2] - 1] = static_cast<char>(bytes[ends[2] - 1] + 1);
  RecordList list;
  EXPECT_EQ(replay(bytes, list).reason, "damaged at byte " + std::to_string(ends[1]) +
                                            ": the checksum of the record there does not match");
}

TEST(ReplayTest, ATailOfZerosIsNoRecord) {
  std::vector<std::size_t> ends;
  const std::string bytes = sample_recording(&ends).substr(0, ends[3]) + std::string(4096, '\0');
  RecordList list;
  const ReplaySummary summary = replay(bytes, list);
  EXPECT_EQ(summary.records, 4U);
  EXPECT_EQ(summary.unknown_records, 0U);
  EXPECT_THAT(summary.reason, HasSubstr("a record of 0 bytes"));
}

TEST(ReplayTest, AClaimedLengthIsNotBelieved) {
  std::string bytes = header() + std::string(kFrameHeaderSize, '\xff');
  RecordList list;
  EXPECT_THAT(replay(bytes, list).reason, HasSubstr("a record of 4294967295 bytes"));
}

TEST(ReplayTest, UnknownRecordTypesAreSkippedAndCounted) {
  pb::Frame end;
  end.mutable_trace_end()->set_at_ns(5);
  const std::string unknown(
      "\xba\x06\x03"
      "abc",
      6);  // field 103, three bytes
  const std::string bytes = header() + frame(unknown) + frame(unknown) + frame(end);
  RecordList list;
  const ReplaySummary summary = replay(bytes, list);
  EXPECT_EQ(summary.unknown_records, 2U);
  EXPECT_EQ(list.records, std::vector<model::Record>{model::TraceEnd{5}});
  EXPECT_FALSE(summary.cut_off);
}

TEST(ReplayTest, WhatFollowsTheEndRecordIsNotReadAndSaid) {
  const std::string whole = sample_recording();
  RecordList list;
  const ReplaySummary summary = replay(whole + "more", list);
  EXPECT_FALSE(summary.cut_off);
  EXPECT_EQ(summary.reason, "what follows the end record at byte " + std::to_string(whole.size()) +
                                " was not read");
}

TEST(ReplayTest, ASinkThatFailsEndsTheReplayWithItsError) {
  class Failing final : public RecordSink {
   public:
    Result<void> accept(const model::Record&) override { return fail("no room"); }
  };
  const std::string whole = sample_recording();
  auto source = ReplaySource::from_bytes(whole, "x.lt");
  ASSERT_TRUE(source);
  Failing sink;
  auto summary = source->replay(sink);
  ASSERT_FALSE(summary);
  EXPECT_EQ(summary.error().what, "no room");
}

TEST(ReplayTest, ValuesOutOfRangeAreRejected) {
  pb::Frame content;
  content.mutable_stack()->set_end(6);
  EXPECT_THAT(refusal(content), HasSubstr("unknown end 6 of a stack"));
  content.mutable_process_end()->set_reason(0);
  EXPECT_THAT(refusal(content), HasSubstr("unknown reason 0"));
  auto& defined = *content.mutable_snapshot()->mutable_defined();
  defined.add_stack(1);
  defined.add_image(1);
  defined.add_kind(77);
  EXPECT_THAT(refusal(content), HasSubstr("unknown kind 77"));
  defined.set_kind(0, 0);
  EXPECT_THAT(refusal(content), HasSubstr("unknown kind 0"));
}

TEST(ReplayTest, SitesThatWereNeverDefinedAreRejected) {
  pb::Frame content;
  auto& blocks = *content.mutable_blocks();
  blocks.add_site(-1);
  blocks.add_handle(0);
  blocks.add_size(0);
  blocks.add_acquired_ns(0);
  EXPECT_THAT(refusal(content), HasSubstr("call site 18446744073709551615 was never defined"));
}

TEST(ReplayTest, UnevenColumnsAreRejected) {
  pb::Frame content;
  content.mutable_stack()->add_address(1);
  EXPECT_THAT(refusal(content), HasSubstr("the columns of its stack differ in length"));
  content.mutable_snapshot()->add_site(0);
  EXPECT_THAT(refusal(content), HasSubstr("the columns of its snapshot differ in length"));
  content.mutable_snapshot()->Clear();
  content.mutable_snapshot()->mutable_defined()->add_stack(0);
  EXPECT_THAT(refusal(content), HasSubstr("the columns of its call sites differ in length"));
  content.mutable_blocks()->add_size(0);
  EXPECT_THAT(refusal(content), HasSubstr("the columns of its blocks differ in length"));
  content.mutable_frame_names()->add_line(0);
  EXPECT_THAT(refusal(content), HasSubstr("the columns of its names differ in length"));
}

pb::Snapshot& snapshot_of_one_site(pb::Frame& content) {
  auto& snapshot = *content.mutable_snapshot();
  snapshot.mutable_defined()->add_stack(1);
  snapshot.mutable_defined()->add_image(1);
  snapshot.mutable_defined()->add_kind(1);
  snapshot.add_site(0);
  snapshot.add_acquired_count(3);
  snapshot.add_acquired_bytes(300);
  snapshot.add_released_count(0);
  snapshot.add_released_bytes(0);
  snapshot.add_since_ns(0);
  return snapshot;
}

TEST(ReplayTest, ColumnsOfEstimatesMayBeLeftOutOneByOne) {
  pb::Frame content;
  snapshot_of_one_site(content).mutable_estimates()->add_unseen_count(2);
  RecordList list;
  replay(header() + frame(content), list);
  ASSERT_EQ(list.records.size(), 1U);
  const auto& snapshot = std::get<model::Snapshot>(list.records[0]);
  ASSERT_EQ(snapshot.sites.size(), 1U);
  EXPECT_EQ(snapshot.sites[0].counters.outstanding_count(), 1U);
  EXPECT_EQ(snapshot.sites[0].counters.estimate.count_variance, 0);
  EXPECT_EQ(snapshot.overhead, model::Overhead{});
}

TEST(ReplayTest, ImpossibleEstimatesAreRejected) {
  pb::Frame content;
  auto& snapshot = snapshot_of_one_site(content);
  snapshot.mutable_estimates()->add_count_variance(1);
  snapshot.mutable_estimates()->add_count_variance(1);
  EXPECT_THAT(refusal(content), HasSubstr("the columns of its estimates differ in length"));
  snapshot.mutable_estimates()->Clear();
  snapshot.mutable_estimates()->add_bytes_variance(-1);
  EXPECT_THAT(refusal(content), HasSubstr("an impossible variance: -1"));
  snapshot.mutable_estimates()->set_bytes_variance(0, NAN);
  EXPECT_THAT(refusal(content), HasSubstr("an impossible variance: nan"));
  snapshot.clear_estimates();
  snapshot.mutable_overhead()->set_percent_of_target_cpu(-5);
  EXPECT_THAT(refusal(content), HasSubstr("an impossible overhead: -5"));
  content.mutable_trace_start()->set_budget_percent(INFINITY);
  EXPECT_THAT(refusal(content), HasSubstr("an impossible budget: inf"));
}

TEST(ReplayTest, LossesOfFilesThatANewerVersionKnowsAreSkippedAndCounted) {
  pb::Frame content;
  content.mutable_file_loss()->set_subject(77);
  RecordList list;
  EXPECT_EQ(replay(header() + frame(content), list).unknown_records, 1U);
}

TEST(ReplayTest, TooManyBlocksInOneRecordAreRejected) {
  pb::Frame content;
  auto& blocks = *content.mutable_blocks();
  for (std::size_t i = 0; i <= kBlocksPerFrame; ++i) {
    blocks.add_site(0);
    blocks.add_handle(0);
    blocks.add_size(0);
    blocks.add_acquired_ns(0);
  }
  EXPECT_THAT(refusal(content), HasSubstr("65537 blocks in one record"));
}

TEST(ReplayTest, AnOlderRecordingWithFewerCausesOfLossIsRead) {
  pb::Frame content;
  content.mutable_snapshot()->add_losses(3);
  const std::string bytes = header() + frame(content);
  RecordList list;
  replay(bytes, list);
  ASSERT_EQ(list.records.size(), 1U);
  model::Snapshot expected;
  expected.losses[0] = 3;
  EXPECT_EQ(list.records[0], model::Record(expected));
}

}  // namespace
}  // namespace leaktrace::collect
