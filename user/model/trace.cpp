// SPDX-License-Identifier: Apache-2.0
#include "user/model/trace.h"

#include <algorithm>
#include <unordered_set>

namespace leaktrace::model {

void Site::set_part(StackId stack, const Counters& reading) {
  auto part = std::ranges::find(parts, stack, &std::pair<StackId, Counters>::first);
  if (part == parts.end()) part = parts.insert(parts.end(), {stack, {}});
  part->second = reading;
  gone.since_ns = reading.since_ns;
  sum_up();
}

void Site::keep_part(StackId stack) {
  const auto part = std::ranges::find(parts, stack, &std::pair<StackId, Counters>::first);
  if (part == parts.end()) return;
  gone.add(part->second);
  parts.erase(part);
  sum_up();
}

void Site::sum_up() {
  counters = gone;
  bool held = false;
  for (const auto& [id, counted] : parts) {
    counters.add(counted);
    if (counted.outstanding_count() == 0) continue;
    counters.since_ns = held ? std::min(counters.since_ns, counted.since_ns) : counted.since_ns;
    held = true;
  }
}

void Trace::apply(const Record& record) {
  std::visit([this](const auto& r) { on(r); }, record);
}

const Module* Trace::module(ModuleId id) const {
  auto found = modules_.find(id);
  return found == modules_.end() ? nullptr : &found->second;
}

const Stack* Trace::stack(StackId id) const {
  auto found = stacks_.find(groups_.of(id));
  return found == stacks_.end() ? nullptr : &found->second;
}

const std::vector<SourceFrame>* Trace::names(ModuleId module, std::uint64_t offset) const {
  auto found = names_.find({module, offset});
  return found == names_.end() ? nullptr : &found->second;
}

void Trace::on(const TraceStart& record) {
  start_ = record;
}

void Trace::on(const Process& record) {
  processes_[record.image].process = record;
  now_ns_ = std::max(now_ns_, record.since_ns);
}

void Trace::on(const ProcessEnd& record) {
  now_ns_ = std::max(now_ns_, record.at_ns);
  processes_[record.image].end = record;
  if (record.reason != EndReason::replaced) return;
  std::erase_if(sites_, [&](const auto& entry) { return entry.first.image == record.image; });
  std::erase_if(stacks_, [&](const auto& entry) { return entry.second.image == record.image; });
  std::erase_if(details_, [&](const auto& entry) { return entry.first.image == record.image; });
  readings_.erase(record.image);
  memory_.erase(record.image);
  groups_.forget(record.image);
}

void Trace::on(const Module& record) {
  modules_[record.id] = record;
}

void Trace::on(const Stack& record) {
  stacks_.insert_or_assign(groups_.join(record, stacks_), record);
}

void Trace::on(const Snapshot& record) {
  now_ns_ = std::max(now_ns_, record.at_ns);
  ++snapshots_;
  losses_ = record.losses;
  probe_hits_ = record.probe_hits;
  overhead_ = record.overhead;
  overhead_at_ns_ = record.at_ns;
  std::unordered_set<SiteKey> changed;
  for (const SiteCounters& reading : record.sites) {
    // The address space is gone, whatever its counters said last.
    if (was_replaced(reading.site.image)) continue;
    SiteKey key = reading.site;
    key.stack = groups_.of(key.stack);
    Site& site = sites_[key];
    const std::uint64_t before = site.counters.acquired_count;
    site.set_part(reading.site.stack, reading.counters);
    const auto [readings, is_new] = readings_.try_emplace(key.image, ProcessReadings{record.at_ns});
    readings->second.work +=
        static_cast<double>(Counters::saturating(site.counters.acquired_count, before));
    changed.insert(key);
  }
  for (const SiteKey& key : changed) add_reading(record.at_ns, key.image, sites_[key]);
  read_at_ns_ = record.at_ns;
}

/// The readings of all sites of an image go before, for the work that it had done by then.
void Trace::add_reading(std::uint64_t at_ns, ImageId image, Site& site) {
  const ProcessReadings& readings = readings_[image];
  const Counters& counters = site.counters;
  site.history.add({.at_ns = at_ns,
                    .previous_ns = readings.first_ns < at_ns ? read_at_ns_ : 0,
                    .count = counters.outstanding_count(),
                    .bytes = counters.outstanding_bytes(),
                    .acquired_count = counters.acquired_count,
                    .count_variance = counters.estimate.count_variance,
                    .bytes_variance = counters.estimate.bytes_variance,
                    .observed = observed_share(),
                    .work = readings.work});
}

ProcessReadings Trace::readings(ImageId image) const {
  const auto found = readings_.find(image);
  return found == readings_.end() ? ProcessReadings{} : found->second;
}

double Trace::observed_share() const {
  if (overhead_ == Overhead{} || overhead_at_ns_ == 0) return 1;
  return std::min(
      1.0, static_cast<double>(overhead_.observed_ns) / static_cast<double>(overhead_at_ns_));
}

bool Trace::was_replaced(ImageId image) const {
  const auto process = processes_.find(image);
  return process != processes_.end() && process->second.end &&
         process->second.end->reason == EndReason::replaced;
}

void Trace::on(const Blocks& record) {
  now_ns_ = std::max(now_ns_, record.at_ns);
  if (!blocks_ || blocks_->at_ns != record.at_ns) blocks_ = Blocks{record.at_ns, {}};
  blocks_->blocks.reserve(blocks_->blocks.size() + record.blocks.size());
  for (Block block : record.blocks) {
    block.site.stack = groups_.of(block.site.stack);
    blocks_->blocks.push_back(block);
  }
}

void Trace::on(const Recycled& record) {
  now_ns_ = std::max(now_ns_, record.at_ns);
  recycled_stacks_ += record.stacks.size();
  std::unordered_map<StackId, std::vector<StackId>> leaving;  // by group
  std::unordered_set<StackId> gone;                           // groups
  for (const StackId stack : record.stacks) {
    if (stack == kRecycledStack) continue;
    const StackId group = groups_.of(stack);
    leaving[group].push_back(stack);
    if (groups_.leave(stack)) gone.insert(group);
  }
  for (auto& [key, site] : sites_) {
    const auto stacks = leaving.find(key.stack);
    if (stacks == leaving.end() || gone.contains(key.stack)) continue;
    for (const StackId stack : stacks->second) site.keep_part(stack);
  }
  std::vector<std::pair<SiteKey, Site>> folded;
  std::erase_if(sites_, [&](auto& entry) {
    if (!gone.contains(entry.first.stack)) return false;
    folded.emplace_back(entry.first, std::move(entry.second));
    return true;
  });
  for (const auto& [key, site] : folded) fold(key, site);
  std::erase_if(details_, [&](const auto& entry) { return gone.contains(entry.first.stack); });
  for (StackId stack : gone) stacks_.erase(stack);
}

void Trace::fold(const SiteKey& key, const Site& site) {
  Site& sum = sites_[{kRecycledStack, key.image, key.kind}];
  sum.counters.add(site.counters);
  sum.counters.since_ns = std::max(sum.counters.since_ns, site.counters.since_ns);
}

void Trace::on(const FrameNames& record) {
  names_[{record.module, record.offset}] = record.frames;
}

void Trace::on(const FileLoss& record) {
  file_losses_[{record.path, record.subject}] = record;
}

void Trace::on(const NotSeen& record) {
  not_seen_[{record.what, record.name}] = record;
}

void Trace::on(const SiteDetail& record) {
  SiteKey key = record.site;
  key.stack = groups_.of(key.stack);
  if (!was_replaced(key.image)) details_[key] = record;
}

void Trace::on(const Connections& record) {
  now_ns_ = std::max(now_ns_, record.at_ns);
  connections_ = record;
}

void Trace::on(const ProcessMemory& record) {
  now_ns_ = std::max(now_ns_, record.at_ns);
  if (!was_replaced(record.image)) memory_[record.image].add(record);
}

const MemorySeries* Trace::memory(ImageId image) const {
  const auto found = memory_.find(image);
  return found == memory_.end() ? nullptr : &found->second;
}

const SiteDetail* Trace::detail(const SiteKey& key) const {
  const auto found = details_.find(key);
  return found == details_.end() ? nullptr : &found->second;
}

void Trace::on(const TraceEnd& record) {
  now_ns_ = std::max(now_ns_, record.at_ns);
  ended_ = true;
}

}  // namespace leaktrace::model
