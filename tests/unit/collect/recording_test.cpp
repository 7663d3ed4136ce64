// SPDX-License-Identifier: Apache-2.0
// What is written comes back; what cannot be written is said once and leaves a readable recording.
#include "user/collect/recording.h"

#include <gmock/gmock.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "tests/unit/collect/sample_records.h"
#include "user/base/file.h"
#include "user/collect/recording_format.h"
#include "user/collect/replay.h"

namespace leaktrace::collect {
namespace {

using ::testing::HasSubstr;

const std::string kStored = LEAKTRACE_SOURCE_DIR "/tests/testdata/recordings/format-1.lt";

/// A folder of its own for each test.
class RecordingTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "leaktrace-recording-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::string path(const std::string& name = "trace.lt") const {
    return folder_ + "/" + name;
  }

  std::string folder_;
};

void write_recording(const std::string& path, const std::vector<model::Record>& records) {
  auto writer = RecordingWriter::create(path);
  ASSERT_TRUE(writer) << writer.error().message();
  for (const model::Record& record : records) ASSERT_TRUE((*writer)->accept(record));
  ASSERT_TRUE((*writer)->close());
}

ReplaySummary replay(const std::string& path, RecordSink& sink) {
  auto source = ReplaySource::open(path);
  EXPECT_TRUE(source) << source.error().message();
  if (!source) return {};
  auto summary = source->replay(sink);
  EXPECT_TRUE(summary) << summary.error().message();
  return summary ? *summary : ReplaySummary{};
}

/// Snapshots with so many sites that a full disk is met in the midst of one.
model::Snapshot large_snapshot(std::uint64_t second) {
  model::Snapshot snapshot;
  snapshot.at_ns = second;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    snapshot.sites.push_back({sample_site(i * 0x9e3779b97f4a7c15), {second * i, i, 0, 0, 0}});
  }
  return snapshot;
}

/// Writes until the recording fails, and holds what must be true then.
void expect_readable_prefix_after_failure(const std::string& path, const std::string& cause) {
  auto writer = RecordingWriter::create(path);
  ASSERT_TRUE(writer) << writer.error().message();
  std::size_t accepted = 0;
  std::string message;
  for (std::uint64_t second = 1; second < 10'000 && message.empty(); ++second) {
    auto outcome = (*writer)->accept(large_snapshot(second));
    if (outcome) ++accepted;
    if (!outcome) message = outcome.error().message();
  }
  EXPECT_THAT(message, HasSubstr(cause));
  EXPECT_THAT(message, HasSubstr("stays readable up to byte " +
                                 std::to_string(std::filesystem::file_size(path))));
  EXPECT_TRUE((*writer)->failed());
  EXPECT_TRUE((*writer)->accept(large_snapshot(1))) << "it is said once only";
  EXPECT_TRUE((*writer)->close());

  RecordList list;
  const ReplaySummary summary = replay(path, list);
  EXPECT_GT(accepted, 0U);
  EXPECT_EQ(summary.records, accepted);
  EXPECT_TRUE(summary.cut_off);
  EXPECT_EQ(summary.bytes_read, std::filesystem::file_size(path)) << "the part of a record is gone";
  ASSERT_EQ(list.records.size(), accepted);
  EXPECT_EQ(list.records.back(), model::Record(large_snapshot(accepted)));
}

TEST_F(RecordingTest, EveryRecordComesBackAsItWas) {
  write_recording(path(), sample_records());
  RecordList list;
  const ReplaySummary summary = replay(path(), list);
  EXPECT_EQ(list.records, sample_records());
  EXPECT_EQ(summary.records, sample_records().size());
  EXPECT_EQ(summary.bytes_read, std::filesystem::file_size(path()));
  EXPECT_EQ(summary.unknown_records, 0U);
  EXPECT_FALSE(summary.cut_off);
  EXPECT_EQ(summary.reason, "");
}

TEST_F(RecordingTest, RecordsThatCameLaterComeBackToo) {
  write_recording(path(), newer_records());
  RecordList list;
  replay(path(), list);
  EXPECT_EQ(list.records, newer_records());
}

TEST_F(RecordingTest, AStoredRecordingOfThisFormatStillReadsTheSame) {
  RecordList list;
  const ReplaySummary summary = replay(kStored, list);
  EXPECT_EQ(list.records, sample_records());
  EXPECT_FALSE(summary.cut_off);
}

TEST_F(RecordingTest, AnExactTraceTakesNoByteMoreForEstimatesThatItHasNot) {
  write_recording(path(), sample_records());
  EXPECT_EQ(*read_file(path()), *read_file(kStored));
}

/// Run by hand when the sample has grown.
TEST_F(RecordingTest, DISABLED_WriteTheStoredRecording) {
  write_recording(kStored, sample_records());
}

TEST_F(RecordingTest, OnlyTheOwnerMayReadIt) {
  write_recording(path(), sample_records());
  struct stat info {};
  ASSERT_EQ(::stat(path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0077U, 0U);
}

TEST_F(RecordingTest, APathThatCannotBeWrittenFailsAtOnce) {
  auto missing = RecordingWriter::create(path("none/trace.lt"));
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().what, HasSubstr(path("none/trace.lt") + ": No such file"));
  EXPECT_FALSE(missing.error().advice.empty());
  auto folder = RecordingWriter::create(folder_);
  ASSERT_FALSE(folder);
  EXPECT_THAT(folder.error().what, HasSubstr("Is a directory"));
  auto full = RecordingWriter::create("/dev/full");
  ASSERT_FALSE(full);
  EXPECT_THAT(full.error().what, HasSubstr("No space left"));
}

TEST_F(RecordingTest, ASnapshotIsInTheFileAtOnce) {
  auto writer = RecordingWriter::create(path());
  ASSERT_TRUE(writer);
  ASSERT_TRUE((*writer)->accept(model::TraceStart{}));
  ASSERT_TRUE((*writer)->accept(sample_snapshot(1)));
  RecordList list;
  EXPECT_EQ(replay(path(), list).records, 2U) << "read while it is being written";
}

TEST_F(RecordingTest, AWriterThatIsDroppedKeepsWhatItHad) {
  {
    auto writer = RecordingWriter::create(path());
    ASSERT_TRUE(writer);
    ASSERT_TRUE((*writer)->accept(model::TraceStart{}));
    ASSERT_TRUE((*writer)->accept(sample_snapshot(1)));
    ASSERT_TRUE((*writer)->accept(sample_records().front()));
  }
  RecordList list;
  const ReplaySummary summary = replay(path(), list);
  EXPECT_EQ(summary.records, 3U);
  EXPECT_TRUE(summary.cut_off);
}

TEST_F(RecordingTest, AnOlderOneStaysWholeUntilTheFirstReading) {
  write_recording(path(), sample_records());
  const std::string older = *read_file(path());
  {
    auto writer = RecordingWriter::create(path());
    ASSERT_TRUE(writer);
    ASSERT_TRUE((*writer)->accept(model::TraceStart{}));
    EXPECT_EQ(*read_file(path()), older);
  }
  EXPECT_EQ(*read_file(path()), older) << "the trace could not begin";
  auto writer = RecordingWriter::create(path());
  ASSERT_TRUE(writer);
  ASSERT_TRUE((*writer)->accept(model::TraceStart{}));
  ASSERT_TRUE((*writer)->accept(sample_snapshot(1)));
  RecordList list;
  EXPECT_EQ(replay(path(), list).records, 2U);
}

TEST_F(RecordingTest, AFileThatIsNoRecordingIsNotReplaced) {
  std::ofstream(path()) << "LEAKTRAC, and what someone needs";
  auto writer = RecordingWriter::create(path());
  ASSERT_FALSE(writer);
  EXPECT_THAT(writer.error().what, HasSubstr("is not a recording"));
  EXPECT_EQ(*read_file(path()), "LEAKTRAC, and what someone needs");
  std::ofstream(path()) << "";
  EXPECT_TRUE(RecordingWriter::create(path())) << "an empty file (mktemp) may be replaced";
}

TEST_F(RecordingTest, WhatALinkLeadsToIsNotWrittenTo) {
  const std::string victim = path("victim");
  std::ofstream(victim) << "victim";
  std::filesystem::create_symlink(victim, path());
  write_recording(path(), sample_records());
  EXPECT_EQ(*read_file(victim), "victim");
  EXPECT_FALSE(std::filesystem::is_symlink(path()));
}

TEST_F(RecordingTest, BlocksAreSplitAndCountTogether) {
  model::Blocks walk{.at_ns = 7, .blocks = {}};
  for (std::uint64_t i = 0; i < kBlocksPerFrame * 2 + 1; ++i) {
    walk.blocks.push_back({sample_site(i % 50), i * 64, i, i});
  }
  write_recording(path(), {walk, model::TraceEnd{7}});
  RecordList list;
  EXPECT_EQ(replay(path(), list).records, 4U);
  model::Trace trace;
  TraceSink sink(trace);
  replay(path(), sink);
  ASSERT_TRUE(trace.blocks());
  EXPECT_EQ(*trace.blocks(), walk);
  EXPECT_TRUE(trace.ended());
}

TEST_F(RecordingTest, BlocksOverTheLimitAreLeftOutAndTheRecordingGoesOn) {
  auto writer = RecordingWriter::create(path());
  ASSERT_TRUE(writer);
  const model::Blocks part{.at_ns = 7, .blocks = std::vector<model::Block>(kMaxBlocksPerWalk / 2)};
  ASSERT_TRUE((*writer)->accept(part));
  ASSERT_TRUE((*writer)->accept(part));
  auto over = (*writer)->accept(model::Blocks{.at_ns = 7, .blocks = {{}, {}}});
  ASSERT_FALSE(over);
  EXPECT_THAT(over.error().what, HasSubstr("2 are left out"));
  EXPECT_FALSE((*writer)->failed());
  ASSERT_TRUE((*writer)->accept(model::TraceEnd{8}));
  ASSERT_TRUE((*writer)->close());
  model::Trace trace;
  TraceSink sink(trace);
  EXPECT_FALSE(replay(path(), sink).cut_off);
  ASSERT_TRUE(trace.blocks());
  EXPECT_EQ(trace.blocks()->blocks.size(), kMaxBlocksPerWalk);
}

TEST_F(RecordingTest, ARecordThatNoReaderWouldTakeEndsTheRecordingWithWords) {
  auto writer = RecordingWriter::create(path());
  ASSERT_TRUE(writer);
  ASSERT_TRUE((*writer)->accept(model::TraceStart{}));
  const model::Module huge{.id = {1}, .path = std::string(kMaxFramePayload, 'x'), .build_id = ""};
  auto outcome = (*writer)->accept(huge);
  ASSERT_FALSE(outcome);
  EXPECT_THAT(outcome.error().what, HasSubstr("larger than a recording can hold"));
  ASSERT_TRUE((*writer)->close());
  RecordList list;
  EXPECT_EQ(replay(path(), list).records, 1U);
}

TEST_F(RecordingTest, AFullDiskLeavesAReadablePrefix) {
  if (::mount("none", folder_.c_str(), "tmpfs", 0, "size=256k") != 0) {
    GTEST_SKIP() << "mounting a small file system needs root";
  }
  expect_readable_prefix_after_failure(path(), "disk full");
  EXPECT_EQ(::umount(folder_.c_str()), 0);
}

TEST_F(RecordingTest, AFileSizeLimitLeavesAReadablePrefix) {
  struct rlimit before {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  // A size that no record ends at, so that the last one is written in part.
  const struct rlimit small { 100'003, before.rlim_max };
  auto* handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  expect_readable_prefix_after_failure(path(), "the file size limit is reached");
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
}

TEST_F(RecordingTest, WhatAKilledWriterLeavesIsRead) {
  const pid_t child = ::fork();
  if (child == 0) {
    auto writer = RecordingWriter::create(path());
    for (std::uint64_t second = 1; second <= 3; ++second) {
      static_cast<void>((*writer)->accept(large_snapshot(second)));
    }
    ::raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  RecordList list;
  const ReplaySummary summary = replay(path(), list);
  EXPECT_EQ(summary.records, 3U);
  EXPECT_TRUE(summary.cut_off);
}

TEST_F(RecordingTest, ATeeServesAllSinksWhicheverFails) {
  class Failing final : public RecordSink {
   public:
    Result<void> accept(const model::Record&) override { return fail("no room"); }
  };
  Failing failing;
  RecordList list;
  TeeSink tee({&failing, &list});
  auto outcome = tee.accept(model::TraceStart{});
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().what, "no room");
  EXPECT_EQ(list.records.size(), 1U);
}

}  // namespace
}  // namespace leaktrace::collect
