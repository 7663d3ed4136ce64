// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "leaktrace/abi.h"
#include "leaktrace/python_abi.h"
#include "user/base/result.h"
#include "user/collect/kernel_stacks.h"
#include "user/collect/live_table.h"
#include "user/collect/range_table.h"
#include "user/collect/record_sink.h"
#include "user/collect/ring_position.h"
#include "user/collect/session_keeper.h"
#include "user/collect/site_totals.h"
#include "user/collect/stack_recycler.h"
#include "user/collect/survival.h"
#include "user/model/record.h"

struct ring_buffer;

namespace leaktrace::collect {

/// The kernel-side maps that are read; the descriptors belong to the tracer and must outlive this.
struct LiveMaps {
  int events = -1;
  int call_sites = -1;
  int call_stacks = -1;
  int retiring_stacks = -1;
  int stacks_retire = -1;
  int live_resources = -1;
  int site_lifetimes = -1;
  int losses = -1;
  int probe_hits = -1;
  int pg_sessions = -1;
  volatile std::uint32_t* state_epoch = nullptr;
};

/// What a process has mapped, all of it.
struct MappedImage {
  model::ImageId image;
  std::vector<AddressRange> ranges;
};

/// What the collector asks of, and tells, whoever knows the interpreters that run in processes.
struct PythonHandlers {
  /// What names a code object; before the stacks with it.
  std::function<void(const lt_event_python_code&)> on_code;
  /// Is the native frame at `address` the interpreter's, running script code?
  std::function<bool(std::uint32_t image, std::uint64_t address)> evaluates;
  /// A Python frame's place in the stream; its names have been put there first.
  std::function<model::RawFrame(std::uint32_t image, std::uint64_t code, std::uint64_t instruction)>
      frame;
};

/// What the collector asks of, and tells, whoever knows the processes.
struct LiveHandlers {
  /// A frame's module and place in it; the module, when new, has been put into the stream first.
  std::function<model::RawFrame(const lt_event_header& of, std::uint64_t address)> resolve;
  /// fork, exec, exit, code mapped, entry reached: before later records of that process.
  std::function<void(const lt_event_process&)> on_process;
  /// The mappings of all traced processes that have not ended. Asked for after events were lost,
  /// to close what is not mapped any more.
  std::function<std::vector<MappedImage>()> mapped;
  /// Is a frame in a function that acquires or releases heap blocks? What such a function maps is
  /// the allocator's own. Asked for when blocks are sampled: the programs know it otherwise.
  std::function<bool(const model::RawFrame&)> in_allocator;
  PythonHandlers python;
  SessionKeeper* sessions = nullptr;  ///< of PostgreSQL clients; belongs to the caller
};

struct LiveOptions {
  std::uint64_t began_ns = 0;       ///< CLOCK_MONOTONIC of the trace's time 0
  std::uint64_t sampling_base = 0;  ///< EngineLimits::sampling_base
  RangeTable::Options ranges;
};

/// Reads the kernel side and writes the stream of records: stacks and ranges as they come, a
/// Snapshot when asked, single blocks when asked. Not synchronized; one thread drives it.
class LiveSource {
 public:
  [[nodiscard]] static Result<std::unique_ptr<LiveSource>> create(const LiveMaps& maps,
                                                                  LiveOptions options,
                                                                  LiveHandlers handlers,
                                                                  RecordSink& sink);
  ~LiveSource();
  LiveSource(const LiveSource&) = delete;
  LiveSource& operator=(const LiveSource&) = delete;

  /// Readable when events wait; for poll(2).
  [[nodiscard]] int poll_fd() const;
  /// Takes all events that wait.
  [[nodiscard]] Result<void> drain();
  /// Reads the counters of all call sites and sends those that changed as one Snapshot. Costs a
  /// system call for some thousand sites; never looks at single blocks. When a table of stacks or
  /// sites fills up, stacks that hold nothing are recycled; that takes some ten milliseconds.
  [[nodiscard]] Result<void> snapshot();
  /// Walks the live table and sends every outstanding block. For the end of a trace, or where the
  /// user asked for an age: it costs about a microsecond a block.
  [[nodiscard]] Result<void> walk_blocks();

  /// What the next snapshots say of the cost of tracing. Their observed_ns is all of the trace's
  /// time but `blind_ns`.
  void set_overhead(const model::Overhead& overhead, std::uint64_t blind_ns) {
    overhead_ = overhead;
    blind_ns_ = blind_ns;
  }

  /// A time in which probes were attached has ended (CLOCK_MONOTONIC), and no program runs any
  /// more. From the first one on, snapshots say what was presumably released while none were
  /// attached (SurvivalModel). Costs a walk of the live table.
  [[nodiscard]] Result<void> end_window(std::uint64_t from_ns, std::uint64_t to_ns);

  /// A process image is gone. `keep`: its resources are still to be reported (exit); else they are
  /// dropped here and in the kernel (exec).
  void image_ended(model::ImageId image, bool keep);

  /// The trace's time: since it began, up to where it was stopped.
  [[nodiscard]] std::uint64_t now_ns() const;
  /// Stops the trace's clock, because taking probes away takes time that was not observed.
  void stop_clock() { stopped_ns_ = now_ns(); }
  /// An event's time in the trace's own.
  [[nodiscard]] std::uint64_t trace_time(std::uint64_t monotonic_ns) const;

 private:
  struct RingDeleter {
    void operator()(ring_buffer* ring) const;
  };

  struct SiteReading {
    SiteEntry entry;
    model::Counters counters;
  };

  LiveSource(const LiveMaps& maps, LiveOptions options, LiveHandlers handlers, RecordSink& sink,
             KernelStacks kernel_stacks, LiveTable live, RingPosition ring_position);
  static int on_event(void* self, void* data, std::size_t size);
  void handle(const lt_event_header& header, std::size_t size);
  void handle_stack(const lt_event_stack& event);
  [[nodiscard]] std::vector<model::RawFrame> frames_of(const lt_event_stack& event);
  void handle_range(lt_event_range event);
  void handle_session(const lt_event_pg& event, std::size_t size);
  void emit(const model::Record& record);
  [[nodiscard]] model::Counters counters_of(const SiteEntry& entry,
                                            const lt_site_counters& counters) const;
  [[nodiscard]] model::Block block_of(std::uint64_t handle, const lt_resource& resource) const;
  [[nodiscard]] Result<std::vector<SiteReading>> read_sites();
  [[nodiscard]] std::vector<model::SiteCounters> take_changed_sites(
      const std::vector<SiteReading>& reading);
  [[nodiscard]] Result<model::Losses> read_losses();
  [[nodiscard]] Result<void> drop_images();
  void drop_sessions(model::ImageId image);
  [[nodiscard]] std::unordered_set<model::StackId> stacks_of_events() const;
  [[nodiscard]] Result<void> reconcile_after(std::uint64_t overflows);
  [[nodiscard]] Result<void> recycle_if_full(const std::vector<SiteReading>& reading);
  [[nodiscard]] std::vector<StackPlace> choose_idle(const std::vector<SiteReading>& reading) const;
  [[nodiscard]] Result<bool> drain_written();
  [[nodiscard]] bool is_idle(StackPlace place) const;
  [[nodiscard]] std::vector<model::StackId> remove_idle(const std::vector<StackPlace>& retired);
  void remove(StackPlace place);
  void forget(model::StackId stack, model::ImageId image);
  void append_session_blocks(std::vector<model::Block>& blocks);
  [[nodiscard]] model::Counters counters_of(const model::SiteKey& site) const;
  [[nodiscard]] LiveBlock live_block_of(const lt_resource& resource) const;
  [[nodiscard]] LiveWalk live_blocks() const;
  [[nodiscard]] Result<std::vector<SiteLifetimes>> take_lifetimes();
  void add_unseen(std::vector<model::SiteCounters>& sites);

  LiveMaps maps_;
  LiveOptions options_;
  LiveHandlers handlers_;
  RecordSink& sink_;
  RangeTable ranges_;
  std::unique_ptr<ring_buffer, RingDeleter> ring_;
  KernelStacks kernel_stacks_;
  LiveTable live_;
  RingPosition ring_position_;
  StackRecycler recycler_;
  SiteTotals totals_;
  SurvivalModel survival_;
  std::uint64_t window_ended_ns_ = 0;  ///< the newest, CLOCK_MONOTONIC
  /// By entry, not site: as the kernel said last.
  std::unordered_map<model::SiteKey, lt_site_lifetimes> lifetimes_;
  std::unordered_map<model::SiteKey, model::Estimate> unseen_;  ///< as the stream was told
  std::vector<std::uint32_t> dropped_images_;                   ///< still in the kernel's tables
  std::unordered_set<model::StackId> allocator_stacks_;         ///< when sampling: see in_allocator
  model::Overhead overhead_;
  std::uint64_t blind_ns_ = 0;    ///< without probes, since the trace began
  std::uint64_t read_at_ns_ = 0;  ///< the last reading of sites, in the trace's time
  std::optional<std::uint64_t> stopped_ns_;
  std::uint64_t overflows_ = 0;   ///< that mappings were reconciled after
  std::optional<Error> failure_;  ///< of the sink, while draining
};

}  // namespace leaktrace::collect
