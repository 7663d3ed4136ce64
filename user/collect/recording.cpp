// SPDX-License-Identifier: Apache-2.0
#include "user/collect/recording.h"

#include <fmt/core.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <variant>

#include "user/base/file.h"
#include "user/collect/recording_format.h"

namespace leaktrace::collect {
namespace {

constexpr std::size_t kFlushAt = std::size_t{256} << 10;

/// Writes all of `bytes` and returns how many were written; fewer than all of them: `error` is set.
std::size_t write_bytes(int fd, std::string_view bytes, int& error) {
  std::size_t written = 0;
  while (written < bytes.size()) {
    const ssize_t n = ::write(fd, bytes.data() + written, bytes.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      error = errno;
      break;
    }
    written += static_cast<std::size_t>(n);
  }
  return written;
}

/// How much of the first `written` bytes of `frames` is whole frames.
std::size_t whole_frames(std::string_view frames, std::size_t written) {
  std::size_t whole = 0;
  while (whole + kFrameHeaderSize <= written) {
    const std::size_t next = whole + kFrameHeaderSize + get_u32(frames.data() + whole);
    if (next > written) break;
    whole = next;
  }
  return whole;
}

std::string cause_of(int error, const std::string& path) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return "disk full";
    case EFBIG:
      return "the file size limit is reached";
    default:
      return describe_errno("cannot write " + path, error);
  }
}

/// An older recording, an empty file, or nothing: any other file is more likely named by mistake.
Result<void> check_replaceable(const OutputFile& file, const std::string& path) {
  auto present = file.open_present();
  if (!present) return present.unexpected();
  if (!*present) return {};
  std::array<char, kRecordingMagic.size()> start{};
  const ssize_t n = ::pread((*present)->get(), start.data(), start.size(), 0);
  if (n < 0) return fail(describe_errno("cannot read " + path, errno));
  const std::string_view read(start.data(), static_cast<std::size_t>(n));
  if (read.empty() || read == kRecordingMagic) return {};
  return fail(fmt::format("{} is there already and is not a recording of leaktrace", path),
              "name another file with -o, or remove it");
}

bool reaches_the_reader(const model::Record& record) {
  return std::holds_alternative<model::Snapshot>(record) ||
         std::holds_alternative<model::TraceEnd>(record);
}

}  // namespace

Result<std::unique_ptr<RecordingWriter>> RecordingWriter::create(const std::string& path) {
  auto file = OutputFile::create(path);
  if (!file) return file.unexpected();
  if (auto may = check_replaceable(*file, path); !may) return may.unexpected();
  std::string header(kRecordingMagic);
  header.resize(kRecordingHeaderSize);
  put_u32(header.data() + kRecordingMagic.size(), kRecordingVersion);
  int error = 0;
  if (write_bytes(file->fd(), header, error) != header.size()) {
    return fail(describe_errno("cannot write " + path, error),
                "name a file in a folder that you may write to with -o");
  }
  std::unique_ptr<RecordingWriter> writer(new RecordingWriter(path, std::move(*file)));
  writer->flushed_ = header.size();
  return writer;
}

RecordingWriter::~RecordingWriter() {
  if (file_ && !failed_) static_cast<void>(flush());
}

Result<void> RecordingWriter::accept(const model::Record& record) {
  if (failed_ || !file_) return {};
  if (const auto* walk = std::get_if<model::Blocks>(&record)) return accept_blocks(*walk);
  auto appended = append_frame([&](std::string& out) { encoder_.encode(record, out); });
  if (!appended || !reaches_the_reader(record)) return appended;
  auto flushed = flush();
  return flushed ? publish() : flushed;
}

Result<void> RecordingWriter::accept_blocks(const model::Blocks& walk) {
  if (walk.at_ns != walk_at_ns_) walk_blocks_ = 0;
  walk_at_ns_ = walk.at_ns;
  const std::size_t kept = std::min(walk.blocks.size(), kMaxBlocksPerWalk - walk_blocks_);
  walk_blocks_ += kept;
  std::size_t first = 0;
  do {  // at least once: a walk that found nothing replaces the one before
    const std::size_t count = std::min(kBlocksPerFrame, kept - first);
    auto appended =
        append_frame([&](std::string& out) { encoder_.encode(walk, first, count, out); });
    if (!appended) return appended;
    first += count;
  } while (first < kept);
  if (kept == walk.blocks.size()) return {};
  return fail(fmt::format("a recording holds at most {} single blocks: {} are left out of {}",
                          kMaxBlocksPerWalk, walk.blocks.size() - kept, path_),
              "the totals of each call site are complete");
}

template <typename Encode>
Result<void> RecordingWriter::append_frame(Encode encode) {
  const std::size_t start = buffer_.size();
  buffer_.resize(start + kFrameHeaderSize);
  encode(buffer_);
  const std::size_t length = buffer_.size() - start - kFrameHeaderSize;
  if (length > kMaxFramePayload) {
    // Later records build on this one, so leaving out only this one would break them.
    buffer_.resize(start);
    static_cast<void>(flush());
    return end_recording(
        {fmt::format("a record of {} bytes is larger than a recording can hold", length),
         "trace fewer processes at once"});
  }
  char* header = buffer_.data() + start;
  const auto* payload = reinterpret_cast<const Bytef*>(header + kFrameHeaderSize);
  put_u32(header, static_cast<std::uint32_t>(length));
  put_u32(header + 4, static_cast<std::uint32_t>(::crc32_z(0, payload, length)));
  return buffer_.size() < kFlushAt ? Result<void>() : flush();
}

Result<void> RecordingWriter::flush() {
  if (failed_) return {};
  int error = 0;
  const std::size_t written = write_bytes(file_->fd(), buffer_, error);
  if (written != buffer_.size()) return give_up(written, error);
  flushed_ += buffer_.size();
  buffer_.clear();
  return {};
}

Result<void> RecordingWriter::give_up(std::size_t written, int error) {
  flushed_ += whole_frames(buffer_, written);
  // Where it is not cut (a pipe), a reader still stops at the half-written frame by itself.
  if (!file_->is_direct()) {
    static_cast<void>(::ftruncate(file_->fd(), static_cast<off_t>(flushed_)));
  }
  return end_recording({cause_of(error, path_), "free space or record elsewhere with -o"});
}

Unexpected RecordingWriter::end_recording(Error error) {
  failed_ = true;
  buffer_ = {};
  error.what +=
      fmt::format(": the recording {} ends here and stays readable up to byte {}", path_, flushed_);
  return {std::move(error)};
}

Result<void> RecordingWriter::publish() {
  auto published = file_->publish();
  if (!published) failed_ = true;
  return published;
}

Result<void> RecordingWriter::close() {
  if (!file_) return {};
  auto closed = flush();
  if (closed && flushed_ > kRecordingHeaderSize) closed = file_->publish();
  // A pipe or a terminal has nothing to sync.
  const bool synced = ::fsync(file_->fd()) == 0 || errno == EINVAL || errno == EROFS;
  const int error = errno;
  const bool fsync_failed = !synced && !failed_;
  file_.reset();
  if (fsync_failed) {
    failed_ = true;
    return fail(describe_errno("cannot bring " + path_ + " to the disk", error));
  }
  return closed;
}

}  // namespace leaktrace::collect
