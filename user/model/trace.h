// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "user/model/history.h"
#include "user/model/memory_series.h"
#include "user/model/record.h"
#include "user/model/stack_groups.h"

namespace leaktrace::model {

/// A call site: all stacks that read alike together.
struct Site {
  Counters counters;
  History history;
  /// What the counters are the sum of: those of each stack, and of the stacks that are gone.
  std::vector<std::pair<StackId, Counters>> parts;
  Counters gone;  ///< since_ns: of the newest reading

  void set_part(StackId stack, const Counters& reading);
  /// The stack is gone: what it counted stays.
  void keep_part(StackId stack);

 private:
  void sum_up();
};

/// The readings of a process image's counters.
struct ProcessReadings {
  std::uint64_t first_ns = 0;  ///< when they were read first
  double work = 0;             ///< what its sites have acquired by now, in number
};

/// A process image and how it ended, if it has.
struct TracedProcess {
  Process process;
  std::optional<ProcessEnd> end;
};

/// Everything that the records so far say. Holds no more than the newest counters, a bounded
/// history of each site, and the newest walk of blocks.
///
///   records ──▶ Trace ──▶ analyze::build_report
class Trace {
 public:
  void apply(const Record& record);

  [[nodiscard]] const TraceStart& start() const { return start_; }
  [[nodiscard]] const std::map<ImageId, TracedProcess>& processes() const { return processes_; }
  [[nodiscard]] const std::unordered_map<SiteKey, Site>& sites() const { return sites_; }
  /// Zeros of an image that has no sites.
  [[nodiscard]] ProcessReadings readings(ImageId image) const;
  /// Of the image of a process, or null: when nobody read it.
  [[nodiscard]] const MemorySeries* memory(ImageId image) const;
  [[nodiscard]] const Losses& losses() const { return losses_; }
  [[nodiscard]] std::uint64_t probe_hits() const { return probe_hits_; }
  /// As the newest Snapshot has it; all zeros when nobody measured.
  [[nodiscard]] const Overhead& overhead() const { return overhead_; }
  /// Share of the time up to the newest Snapshot in which probes were attached, 0 to 1; 1 when
  /// nobody measured.
  [[nodiscard]] double observed_share() const;
  [[nodiscard]] std::uint32_t snapshots() const { return snapshots_; }
  /// Time of the newest record that has one.
  [[nodiscard]] std::uint64_t now_ns() const { return now_ns_; }
  /// The record TraceEnd came: the trace is whole.
  [[nodiscard]] bool ended() const { return ended_; }

  [[nodiscard]] const std::unordered_map<ModuleId, Module>& modules() const { return modules_; }
  [[nodiscard]] const Module* module(ModuleId id) const;
  [[nodiscard]] const Stack* stack(StackId id) const;
  /// Names that the recording holds for a frame, or null.
  [[nodiscard]] const std::vector<SourceFrame>* names(ModuleId module, std::uint64_t offset) const;
  [[nodiscard]] const std::unordered_map<StackId, Stack>& stacks() const { return stacks_; }
  /// What could not be read of which file.
  [[nodiscard]] const std::map<std::pair<std::string, FileSubject>, FileLoss>& file_losses() const {
    return file_losses_;
  }
  /// What cannot be seen, as whoever took the trace knew.
  [[nodiscard]] const std::map<std::pair<UnseenSubject, std::string>, NotSeen>& not_seen() const {
    return not_seen_;
  }

  /// Stacks that were dropped because they held nothing and the tables were full.
  [[nodiscard]] std::uint64_t recycled_stacks() const { return recycled_stacks_; }

  /// What is held at a site of PostgreSQL's kinds, or null. `key` as in sites().
  [[nodiscard]] const SiteDetail* detail(const SiteKey& key) const;
  /// The newest, if there was one.
  [[nodiscard]] const std::optional<Connections>& connections() const { return connections_; }

  /// The newest walk of single blocks, if there was one.
  [[nodiscard]] const std::optional<Blocks>& blocks() const { return blocks_; }

 private:
  void on(const TraceStart& record);
  void on(const Process& record);
  void on(const ProcessEnd& record);
  void on(const Module& record);
  void on(const Stack& record);
  void on(const Snapshot& record);
  void on(const Blocks& record);
  void on(const Recycled& record);
  void fold(const SiteKey& key, const Site& site);
  void add_reading(std::uint64_t at_ns, ImageId image, Site& site);
  [[nodiscard]] bool was_replaced(ImageId image) const;
  void on(const FrameNames& record);
  void on(const TraceEnd& record);
  void on(const FileLoss& record);
  void on(const NotSeen& record);
  void on(const SiteDetail& record);
  void on(const Connections& record);
  void on(const ProcessMemory& record);

  TraceStart start_;
  std::map<ImageId, TracedProcess> processes_;
  std::unordered_map<ModuleId, Module> modules_;
  std::unordered_map<StackId, Stack> stacks_;  ///< one of each group
  StackGroups groups_;
  std::unordered_map<SiteKey, Site> sites_;
  std::unordered_map<ImageId, ProcessReadings> readings_;
  std::uint64_t read_at_ns_ = 0;  ///< the newest Snapshot
  std::map<std::pair<ModuleId, std::uint64_t>, std::vector<SourceFrame>> names_;
  std::map<std::pair<std::string, FileSubject>, FileLoss> file_losses_;
  std::map<std::pair<UnseenSubject, std::string>, NotSeen> not_seen_;
  std::unordered_map<SiteKey, SiteDetail> details_;
  std::optional<Connections> connections_;
  std::unordered_map<ImageId, MemorySeries> memory_;
  std::optional<Blocks> blocks_;
  Losses losses_{};
  std::uint64_t probe_hits_ = 0;
  Overhead overhead_;
  std::uint64_t overhead_at_ns_ = 0;
  std::uint64_t recycled_stacks_ = 0;
  std::uint64_t now_ns_ = 0;
  std::uint32_t snapshots_ = 0;
  bool ended_ = false;
};

}  // namespace leaktrace::model
