// SPDX-License-Identifier: Apache-2.0
#include "user/collect/live_source.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>
#include <utility>

#include "leaktrace/sampling.h"
#include "user/base/clock.h"
#include "user/base/file.h"
#include "user/collect/map_reader.h"
#include "user/collect/script_frames.h"

namespace leaktrace::collect {
namespace {

constexpr std::size_t kBlocksPerRecord = 65536;
/// Images that ended by exec are swept out of the kernel's tables this many at a time: a sweep
/// walks the whole live table.
constexpr std::size_t kImagesPerSweep = 16;

/// A block with a smaller chance to be alive is not listed; the counters have it in their estimate.
constexpr double kPresumedReleased = 0.05;

static_assert(model::kLossNames.size() == LT_LOSS_COUNT);

// A reading taken in the middle of a release may be below zero for a moment.
double variance(std::uint64_t sum) {
  return std::max(0.0, static_cast<double>(static_cast<std::int64_t>(sum)));
}

std::uint64_t whole(std::uint64_t count) {
  return (count + LT_COUNT_UNIT / 2) / LT_COUNT_UNIT;
}

bool same_counts(const model::Counters& a, const model::Counters& b) {
  return a.acquired_count == b.acquired_count && a.acquired_bytes == b.acquired_bytes &&
         a.released_count == b.released_count && a.released_bytes == b.released_bytes;
}

lt_site_stripe sum_of(const lt_site_counters& counters) {
  lt_site_stripe sum{};
  for (const lt_site_stripe& stripe : counters.stripe) {
    sum.acquired_count += stripe.acquired_count;
    sum.acquired_bytes += stripe.acquired_bytes;
    sum.released_count += stripe.released_count;
    sum.released_bytes += stripe.released_bytes;
    sum.acquired_samples += stripe.acquired_samples;
    sum.released_samples += stripe.released_samples;
    sum.count_variance += stripe.count_variance;
    sum.bytes_variance += stripe.bytes_variance;
  }
  return sum;
}

/// The probes that ran, of all slots and on all CPUs.
Result<std::uint64_t> sum_of_hits(int map) {
  const auto cpus = static_cast<std::size_t>(libbpf_num_possible_cpus());
  std::vector<std::uint32_t> slots(LT_HIT_SLOTS);
  std::vector<lt_hits> hits(LT_HIT_SLOTS * cpus);
  std::uint32_t count = LT_HIT_SLOTS;
  std::uint32_t next = 0;
  if (bpf_map_lookup_batch(map, nullptr, &next, slots.data(), hits.data(), &count, nullptr) != 0 &&
      errno != ENOENT) {
    return fail(describe_errno("cannot read the counts of probes", errno));
  }
  std::uint64_t sum = 0;
  for (const lt_hits& one : hits) sum += one.entries + one.stepped + one.returns;
  return sum;
}

SiteEntry site_entry(std::uint64_t stack_id, std::uint32_t image, std::uint32_t kind) {
  return {{stack_id}, {image}, static_cast<model::Kind>(kind)};
}

bool is_process_event(std::uint32_t type) {
  return type >= LT_EVENT_PROCESS_FORK && type <= LT_EVENT_ENTRY_REACHED;
}

}  // namespace

void LiveSource::RingDeleter::operator()(ring_buffer* ring) const {
  ring_buffer__free(ring);
}

LiveSource::LiveSource(const LiveMaps& maps, LiveOptions options, LiveHandlers handlers,
                       RecordSink& sink, KernelStacks kernel_stacks, LiveTable live,
                       RingPosition ring_position)
    : maps_(maps),
      options_(options),
      handlers_(std::move(handlers)),
      sink_(sink),
      ranges_(options.ranges),
      kernel_stacks_(std::move(kernel_stacks)),
      live_(std::move(live)),
      ring_position_(std::move(ring_position)) {}

LiveSource::~LiveSource() = default;

Result<std::unique_ptr<LiveSource>> LiveSource::create(const LiveMaps& maps, LiveOptions options,
                                                       LiveHandlers handlers, RecordSink& sink) {
  auto kernel_stacks = KernelStacks::create({.call_sites = maps.call_sites,
                                             .call_stacks = maps.call_stacks,
                                             .retiring_stacks = maps.retiring_stacks,
                                             .stacks_retire = maps.stacks_retire,
                                             .site_lifetimes = maps.site_lifetimes,
                                             .state_epoch = maps.state_epoch});
  if (!kernel_stacks) return kernel_stacks.unexpected();
  auto live = LiveTable::map(maps.live_resources);
  if (!live) return live.unexpected();
  auto ring_position = RingPosition::map(maps.events);
  if (!ring_position) return ring_position.unexpected();
  std::unique_ptr<LiveSource> source(new LiveSource(maps, options, std::move(handlers), sink,
                                                    std::move(*kernel_stacks), std::move(*live),
                                                    std::move(*ring_position)));
  source->ring_.reset(ring_buffer__new(maps.events, on_event, source.get(), nullptr));
  if (!source->ring_) return fail(describe_errno("cannot read the kernel's events", errno));
  return source;
}

int LiveSource::poll_fd() const {
  return ring_buffer__epoll_fd(ring_.get());
}

std::uint64_t LiveSource::trace_time(std::uint64_t monotonic) const {
  return monotonic > options_.began_ns ? monotonic - options_.began_ns : 0;
}

std::uint64_t LiveSource::now_ns() const {
  return trace_time(monotonic_ns());
}

Result<void> LiveSource::drain() {
  failure_.reset();
  int consumed = ring_buffer__consume(ring_.get());
  if (consumed < 0) return fail(describe_errno("cannot read the kernel's events", -consumed));
  if (failure_) return fail(failure_->what, failure_->advice);
  return {};
}

int LiveSource::on_event(void* self, void* data, std::size_t size) {
  if (size >= sizeof(lt_event_header)) {
    static_cast<LiveSource*>(self)->handle(*static_cast<const lt_event_header*>(data), size);
  }
  return 0;
}

void LiveSource::handle(const lt_event_header& header, std::size_t size) {
  if (header.type == LT_EVENT_STACK) {
    handle_stack(reinterpret_cast<const lt_event_stack&>(header));
  } else if (header.type == LT_EVENT_PG) {
    if (size >= sizeof(lt_event_pg))
      handle_session(reinterpret_cast<const lt_event_pg&>(header), size);
  } else if (header.type == LT_EVENT_PYTHON_CODE &&
             size >= sizeof(lt_event_python_code) + LT_PYTHON_SHORT_LINES) {
    handlers_.python.on_code(reinterpret_cast<const lt_event_python_code&>(header));
  } else if (is_process_event(header.type) && size >= sizeof(lt_event_process)) {
    handlers_.on_process(reinterpret_cast<const lt_event_process&>(header));
  } else if (size >= sizeof(lt_event_range)) {
    handle_range(reinterpret_cast<const lt_event_range&>(header));
  }
}

void LiveSource::handle_range(lt_event_range event) {
  event.stack_id = stack_at({event.stack_id}).value;
  if (allocator_stacks_.contains({event.stack_id})) {
    event.flags |= LT_RANGE_NESTED;
    event.stack_id = 0;
  }
  ranges_.apply(event, options_.began_ns);
}

void LiveSource::handle_session(const lt_event_pg& event, std::size_t size) {
  if (handlers_.sessions == nullptr) return;
  const model::StackId stack = event.stack_id == 0 ? model::StackId{} : stack_at({event.stack_id});
  handlers_.sessions->on_event(event, size - sizeof(event), stack);
}

void LiveSource::handle_stack(const lt_event_stack& event) {
  const StackPlace place{event.stack_id};
  recycler_.add(place, {event.header.image});
  if (recycler_.holds(other_place(place))) return;  // its frames have been sent
  model::Stack stack{.id = stack_at(place),
                     .image = {event.header.image},
                     .end = static_cast<model::StackEnd>(event.reason),
                     .frames = frames_of(event),
                     .by_frame_pointer = event.by_frame_pointer};
  if (options_.sampling_base != 0 && handlers_.in_allocator &&
      std::ranges::any_of(stack.frames, handlers_.in_allocator)) {
    allocator_stacks_.insert(stack.id);
  }
  emit(stack);
}

std::vector<model::RawFrame> LiveSource::frames_of(const lt_event_stack& event) {
  const std::uint32_t image = event.header.image;
  const bool has_script = event.python_frames > 0;
  std::vector<NativeFrame> native;
  native.reserve(event.frames);
  for (std::uint32_t i = 0; i < event.frames; ++i) {
    native.push_back({handlers_.resolve(event.header, event.word[i]),
                      has_script && handlers_.python.evaluates(image, event.word[i])});
  }
  std::vector<ScriptFrame> script;
  for (std::uint32_t i = 0; i < event.python_frames; ++i) {
    const __u64* words = &event.word[event.frames + i * LT_PYTHON_FRAME_WORDS];
    script.push_back({handlers_.python.frame(image, words[0] & ~LT_PYTHON_ENTERED, words[1]),
                      (words[0] & LT_PYTHON_ENTERED) != 0});
  }
  return join_frames(native, script, event.reason == LT_STACK_COMPLETE);
}

void LiveSource::emit(const model::Record& record) {
  auto accepted = sink_.accept(record);
  if (!accepted && !failure_) failure_ = accepted.error();
}

// What is outstanding now was acquired after the last reading that found nothing outstanding.
model::Counters LiveSource::counters_of(const SiteEntry& entry,
                                        const lt_site_counters& counters) const {
  const lt_site_stripe sum = sum_of(counters);
  const model::Counters last = totals_.last(entry);
  model::Counters read{.acquired_count = sum.acquired_count,
                       .acquired_bytes = sum.acquired_bytes,
                       .released_count = sum.released_count,
                       .released_bytes = sum.released_bytes,
                       .since_ns = last.outstanding_count() == 0 ? read_at_ns_ : last.since_ns,
                       .estimate = {}};
  if (options_.sampling_base != 0) {
    read.acquired_count = whole(sum.acquired_count);
    read.released_count = whole(sum.released_count);
  }
  if (options_.sampling_base != 0 && !model::is_postgres(entry.kind)) {
    read.estimate.acquired_samples = sum.acquired_samples;
    read.estimate.released_samples = sum.released_samples;
    const double base = static_cast<double>(options_.sampling_base);
    read.estimate.count_variance = variance(sum.count_variance);
    read.estimate.bytes_variance =
        variance(sum.bytes_variance) * base * base / (1U << LT_VARIANCE_SHIFT);
  }
  if (same_counts(read, last)) read.since_ns = last.since_ns;
  return read;
}

Result<std::vector<LiveSource::SiteReading>> LiveSource::read_sites() {
  std::vector<SiteReading> sites;
  auto read = for_each_entry<lt_site_key, lt_site_counters>(
      maps_.call_sites, [&](const lt_site_key& key, const lt_site_counters& counters) {
        const SiteEntry entry = site_entry(key.stack_id, key.image, key.kind);
        sites.push_back({entry, counters_of(entry, counters)});
      });
  if (!read) return read.unexpected();
  return sites;
}

Result<model::Losses> LiveSource::read_losses() {
  model::Losses losses{};
  for (std::uint32_t cause = 0; cause < losses.size(); ++cause) {
    auto sum = sum_over_cpus(maps_.losses, cause);
    if (!sum) return sum.unexpected();
    losses[cause] = *sum;
  }
  return losses;
}

std::vector<model::SiteCounters> LiveSource::take_changed_sites(
    const std::vector<SiteReading>& reading) {
  recycler_.begin_reading();
  std::vector<model::SiteKey> changed;
  bool any_second = false;
  for (const auto& [entry, counters] : reading) {
    if (!totals_.take(entry, counters)) continue;
    recycler_.changed(entry.place);
    any_second |= is_second(entry.place);
    changed.push_back(site_of(entry));
  }
  if (any_second) {  // a site of which both entries changed is named once
    std::ranges::sort(changed);
    changed.erase(std::unique(changed.begin(), changed.end()), changed.end());
  }
  std::vector<model::SiteCounters> sites;
  sites.reserve(changed.size());
  for (const model::SiteKey& site : changed) sites.push_back({site, totals_.total(site)});
  std::vector<model::SiteCounters> of_events = ranges_.take_changed_sites();
  if (handlers_.sessions != nullptr) {
    std::ranges::move(handlers_.sessions->take_changed_sites(), std::back_inserter(of_events));
  }
  for (const model::SiteCounters& site : of_events) {
    const StackPlace place{site.site.stack.value};
    recycler_.changed(place);
    recycler_.changed(other_place(place));
    sites.push_back(site);
  }
  return sites;
}

// Of what is known from events: no table of the kernel says that these stacks hold something.
std::unordered_set<model::StackId> LiveSource::stacks_of_events() const {
  std::unordered_set<model::StackId> stacks = ranges_.stacks_in_use();
  if (handlers_.sessions != nullptr) stacks.merge(handlers_.sessions->stacks_in_use());
  return stacks;
}

Result<void> LiveSource::snapshot() {
  // Counters first: a site's stack is sent when it is first taken, so after draining nearly every
  // site that was read has its stack. (One thread may count at a stack that another is about to
  // send; it comes with the next reading.)
  const std::uint64_t reading_began_ns = now_ns();
  auto sites = read_sites();
  if (!sites) return sites.unexpected();
  read_at_ns_ = reading_began_ns;
  auto losses = read_losses();
  if (!losses) return losses.unexpected();
  auto hits = sum_of_hits(maps_.probe_hits);
  if (!hits) return hits.unexpected();
  auto drained = drain();
  if (auto reconciled = reconcile_after((*losses)[LT_LOSS_RING_OVERFLOW]); !reconciled) {
    return reconciled;
  }
  ranges_.settle();
  ranges_.add_losses(*losses);
  if (handlers_.sessions != nullptr) handlers_.sessions->add_losses(*losses);

  auto changed = take_changed_sites(*sites);
  add_unseen(changed);
  const std::uint64_t at_ns = now_ns();
  overhead_.observed_ns = at_ns - std::min(at_ns, blind_ns_);
  auto accepted = sink_.accept(model::Snapshot{.at_ns = at_ns,
                                               .sites = std::move(changed),
                                               .losses = *losses,
                                               .probe_hits = *hits,
                                               .overhead = overhead_});
  Result<void> detailed;
  if (handlers_.sessions != nullptr) detailed = handlers_.sessions->emit_details(at_ns, sink_);
  auto recycled = recycle_if_full(*sites);
  for (const Result<void>& outcome : {drained, accepted, detailed, recycled}) {
    if (!outcome) return outcome;
  }
  return {};
}

// With an munmap's event lost, its mapping would stay outstanding for ever.
Result<void> LiveSource::reconcile_after(std::uint64_t overflows) {
  if (overflows == overflows_ || !handlers_.mapped) return {};
  overflows_ = overflows;
  std::uint64_t as_of_ns = now_ns();
  std::vector<MappedImage> images = handlers_.mapped();
  auto drained = drain();
  for (const MappedImage& image : images) {
    ranges_.reconcile(image.image, image.ranges, as_of_ns);
  }
  return drained;
}

Result<void> LiveSource::walk_blocks() {
  model::Blocks record{.at_ns = now_ns(), .blocks = {}};
  ranges_.settle();
  ranges_.append_blocks(record.blocks);
  append_session_blocks(record.blocks);
  Result<void> outcome;
  bool sent = false;
  auto send = [&] {
    auto accepted = sink_.accept(record);
    if (!accepted) outcome = accepted;
    record.blocks.clear();
    sent = true;
  };
  live_.each([&](std::uint64_t handle, const lt_resource& resource) {
    model::Block block = block_of(handle, resource);
    if (survival_.has_windows() && !LT_KIND_IS_LASTING(resource.kind)) {
      const double alive = survival_.alive(live_block_of(resource));
      if (alive < kPresumedReleased) return;
      block.stands_for *= alive;
    }
    record.blocks.push_back(block);
    if (record.blocks.size() >= kBlocksPerRecord) send();
  });
  if (!record.blocks.empty() || !sent) send();
  return outcome;
}

void LiveSource::append_session_blocks(std::vector<model::Block>& blocks) {
  if (handlers_.sessions == nullptr) return;
  const std::size_t first = blocks.size();
  handlers_.sessions->append_blocks(blocks);
  if (!survival_.has_windows()) return;
  for (std::size_t i = first; i < blocks.size(); ++i) {
    model::Block& block = blocks[i];
    block.stands_for *=
        survival_.alive({.site = block.site, .acquired_ns = options_.began_ns + block.acquired_ns});
  }
  const auto begin = blocks.begin() + static_cast<std::ptrdiff_t>(first);
  blocks.erase(
      std::remove_if(begin, blocks.end(),
                     [](const auto& block) { return block.stands_for < kPresumedReleased; }),
      blocks.end());
}

model::Block LiveSource::block_of(std::uint64_t handle, const lt_resource& resource) const {
  model::Block block{.site = site_of(site_entry(resource.stack_id, resource.image, resource.kind)),
                     .handle = handle,
                     .size = resource.weight,
                     .acquired_ns = trace_time(resource.acquired_ns)};
  if (options_.sampling_base != 0 && resource.step < LT_SAMPLING_STEPS) {
    const auto weight = lt_weigh_sample(resource.weight, options_.sampling_base << resource.step);
    block.stands_for = static_cast<double>(weight.count) / LT_COUNT_UNIT;
  }
  return block;
}

void LiveSource::image_ended(model::ImageId image, bool keep) {
  drop_sessions(image);
  if (handlers_.sessions != nullptr) handlers_.sessions->image_ended(image, keep);
  if (keep) {
    survival_.image_exited(image);
    return;
  }
  ranges_.image_ended(image);
  survival_.image_ended(image);
  totals_.forget(image);
  dropped_images_.push_back(image.value);
  if (dropped_images_.size() < kImagesPerSweep) return;
  if (auto dropped = drop_images(); !dropped && !failure_) failure_ = dropped.error();
}

// Nobody calls PQfinish for an image that is gone.
void LiveSource::drop_sessions(model::ImageId image) {
  if (handlers_.sessions == nullptr || !handlers_.sessions->knows(image)) return;
  auto dropped = delete_entries_if<lt_pg_session_key, lt_pg_session>(
      maps_.pg_sessions, [&](const auto& key) { return key.image == image.value; });
  if (!dropped && !failure_) failure_ = dropped.error();
}

Result<void> LiveSource::drop_images() {
  auto is_dropped_image = [&](model::ImageId image) {
    return std::ranges::find(dropped_images_, image.value) != dropped_images_.end();
  };
  auto is_dropped = [&](const auto& key) { return is_dropped_image({key.image}); };
  live_.remove_if(is_dropped);
  auto sites = delete_entries_if<lt_site_key, lt_site_counters>(maps_.call_sites, is_dropped);
  if (!sites) return sites;
  auto lifetimes =
      delete_entries_if<lt_site_key, lt_site_lifetimes>(maps_.site_lifetimes, is_dropped);
  if (!lifetimes) return lifetimes;
  for (std::uint32_t image : dropped_images_) {
    totals_.forget(model::ImageId{image});
    survival_.image_ended(model::ImageId{image});
  }
  std::erase_if(lifetimes_, [&](const auto& entry) { return is_dropped_image(entry.first.image); });
  std::erase_if(unseen_, [&](const auto& entry) { return is_dropped_image(entry.first.image); });
  dropped_images_.clear();
  return {};
}

}  // namespace leaktrace::collect
