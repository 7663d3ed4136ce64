// SPDX-License-Identifier: Apache-2.0
#include "user/model/trace.h"

#include <algorithm>
#include <unordered_set>

namespace leaktrace::model {

void Series::add(SeriesPoint point) {
  if (++offered_ < stride_) return;
  offered_ = 0;
  if (points_.size() == kCapacity) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < points_.size(); i += 2) points_[kept++] = points_[i];
    points_.resize(kept);
    stride_ *= 2;
  }
  points_.push_back(point);
}

void Trace::apply(const Record& record) {
  std::visit([this](const auto& r) { on(r); }, record);
}

const Module* Trace::module(ModuleId id) const {
  auto found = modules_.find(id);
  return found == modules_.end() ? nullptr : &found->second;
}

const Stack* Trace::stack(StackId id) const {
  auto found = stacks_.find(id);
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
}

void Trace::on(const Module& record) {
  modules_[record.id] = record;
}

void Trace::on(const Stack& record) {
  stacks_[record.id] = record;
}

void Trace::on(const Snapshot& record) {
  now_ns_ = std::max(now_ns_, record.at_ns);
  ++snapshots_;
  losses_ = record.losses;
  probe_hits_ = record.probe_hits;
  for (const SiteCounters& reading : record.sites) {
    auto process = processes_.find(reading.site.image);
    if (process != processes_.end() && process->second.end &&
        process->second.end->reason == EndReason::replaced) {
      continue;  // the address space is gone, whatever its counters said last
    }
    Site& site = sites_[reading.site];
    site.counters = reading.counters;
    site.series.add(
        {record.at_ns, reading.counters.outstanding_count(), reading.counters.outstanding_bytes()});
  }
}

void Trace::on(const Blocks& record) {
  now_ns_ = std::max(now_ns_, record.at_ns);
  if (!blocks_ || blocks_->at_ns != record.at_ns) {
    blocks_ = record;
    return;
  }
  blocks_->blocks.insert(blocks_->blocks.end(), record.blocks.begin(), record.blocks.end());
}

void Trace::on(const Recycled& record) {
  now_ns_ = std::max(now_ns_, record.at_ns);
  recycled_stacks_ += record.stacks.size();
  std::unordered_set<StackId> gone(record.stacks.begin(), record.stacks.end());
  gone.erase(kRecycledStack);
  std::vector<std::pair<SiteKey, Site>> folded;
  std::erase_if(sites_, [&](auto& entry) {
    if (!gone.contains(entry.first.stack)) return false;
    folded.emplace_back(entry.first, std::move(entry.second));
    return true;
  });
  for (const auto& [key, site] : folded) fold(key, site);
  for (StackId stack : gone) stacks_.erase(stack);
}

void Trace::fold(const SiteKey& key, const Site& site) {
  Site& sum = sites_[{kRecycledStack, key.image, key.kind}];
  sum.counters.acquired_count += site.counters.acquired_count;
  sum.counters.acquired_bytes += site.counters.acquired_bytes;
  sum.counters.released_count += site.counters.released_count;
  sum.counters.released_bytes += site.counters.released_bytes;
  sum.counters.since_ns = std::max(sum.counters.since_ns, site.counters.since_ns);
  // When the image was first read is known by the first point of its sites.
  const auto& points = site.series.points();
  const auto& begun = sum.series.points();
  if (points.empty() || (!begun.empty() && begun.front().at_ns <= points.front().at_ns)) return;
  sum.series = {};
  sum.series.add({points.front().at_ns, 0, 0});
}

void Trace::on(const FrameNames& record) {
  names_[{record.module, record.offset}] = record.frames;
}

void Trace::on(const FileLoss& record) {
  file_losses_[{record.path, record.subject}] = record;
}

void Trace::on(const TraceEnd& record) {
  now_ns_ = std::max(now_ns_, record.at_ns);
  ended_ = true;
}

}  // namespace leaktrace::model
