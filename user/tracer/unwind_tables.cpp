// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/unwind_tables.h"

#include <bpf/bpf.h>
#include <elf.h>
#include <sys/auxv.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "user/base/file.h"

namespace leaktrace::tracer {
namespace {

bool equal(const lt_unwind_range& a, const lt_unwind_range& b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

/// True when `ranges` still has every one of `old` as it was (both sorted by start).
bool extends(const std::vector<lt_unwind_range>& ranges, const std::vector<lt_unwind_range>& old) {
  auto at = ranges.begin();
  for (const lt_unwind_range& range : old) {
    while (at != ranges.end() && at->start < range.start) ++at;
    if (at == ranges.end() || !equal(*at, range)) return false;
  }
  return true;
}

Unexpected out_of_memory() {
  return fail("no room for its unwind information",
              "raise the bound of unwind memory; until then its frames are followed by frame "
              "pointers only");
}

}  // namespace

bool UnwindTables::RuleOrder::operator()(const lt_unwind_rule& a, const lt_unwind_rule& b) const {
  return std::memcmp(&a, &b, sizeof a) < 0;
}

UnwindTables::UnwindTables(const UnwindMapFds& fds, UnwindRows rows,
                           MappedArray<lt_unwind_page> pages, MappedArray<lt_unwind_range> ranges,
                           MappedArray<lt_unwind_rule> rules)
    : fds_(fds),
      rows_(std::move(rows)),
      pages_(std::move(pages)),
      ranges_(std::move(ranges)),
      rules_(std::move(rules)),
      free_pages_(pages_.size()),
      free_ranges_(ranges_.size()) {}

Result<UnwindTables> UnwindTables::create(const UnwindMapFds& fds, uint64_t most_row_bytes) {
  auto rows = UnwindRows::create(fds.rows, most_row_bytes);
  if (!rows) return rows.unexpected();
  auto pages = MappedArray<lt_unwind_page>::map(fds.pages);
  if (!pages) return pages.unexpected();
  auto ranges = MappedArray<lt_unwind_range>::map(fds.ranges);
  if (!ranges) return ranges.unexpected();
  auto rules = MappedArray<lt_unwind_rule>::map(fds.rules);
  if (!rules) return rules.unexpected();
  return UnwindTables(fds, std::move(*rows), std::move(*pages), std::move(*ranges),
                      std::move(*rules));
}

// ---- Modules -----------------------------------------------------------------------------------

std::optional<UnwindModule> UnwindTables::find(const std::string& key) const {
  const auto known = by_key_.find(key);
  if (known == by_key_.end()) return std::nullopt;
  return UnwindModule{known->second};
}

Result<UnwindModule> UnwindTables::add_module(const std::string& key, int elf_fd) {
  if (const auto known = find(key)) return *known;
  if (is_refused(key)) return out_of_memory();
  const auto table = unwind::read_table(elf_fd);
  if (!table) return table.unexpected();
  return add_table(key, *table);
}

Result<UnwindModule> UnwindTables::add_vdso() {
  static const std::string key = "[vdso]";
  if (const auto known = find(key)) return *known;
  const auto* image = reinterpret_cast<const std::byte*>(getauxval(AT_SYSINFO_EHDR));
  if (image == nullptr) return fail("the kernel gives no vDSO");
  Elf64_Ehdr header;
  std::memcpy(&header, image, sizeof header);
  // The kernel's linker script puts the section headers last.
  const size_t size = header.e_shoff + size_t{header.e_shnum} * header.e_shentsize;
  const auto table = unwind::read_table(std::span(image, size));
  if (!table) return table.unexpected();
  return add_table(key, *table);
}

Result<UnwindModule> UnwindTables::add_table(const std::string& key, const unwind::Table& table) {
  Module module;
  module.key = key;
  module.base = table.base;
  module.segments = table.segments;
  module.pages = static_cast<uint32_t>(table.pages.size());
  module.unused_since = Clock::now();
  const auto first_page = free_pages_.take(module.pages);
  if (!first_page || !store_pages(table, *first_page)) {
    if (first_page) free_pages_.give_back(*first_page, module.pages);
    refused_.insert(key);
    ++refused_modules_;
    return out_of_memory();
  }
  module.first_page = *first_page;
  const uint32_t id = ++last_module_;
  modules_.emplace(id, std::move(module));
  by_key_.emplace(key, id);
  return UnwindModule{id};
}

/// All pages or none. Rows that refer to the table's rules get those that all modules share.
bool UnwindTables::store_pages(const unwind::Table& table, uint32_t first_page) {
  std::vector<uint64_t> shared;
  for (const lt_unwind_rule& rule : table.rules) shared.push_back(shared_rule(rule));
  constexpr uint64_t address_bits = ~uint64_t{0} << 48;
  std::vector<uint64_t> rows;
  rows_.reserve(table.rows.size());
  for (uint32_t i = 0; i < table.pages.size(); ++i) {
    const auto [first, count] = table.pages[i];
    rows.assign(table.rows.begin() + first, table.rows.begin() + first + count);
    for (uint64_t& row : rows) {
      if (LT_UNWIND_ROW_CFA(row) != LT_UNWIND_CFA_RULE) continue;
      row = (row & address_bits) | shared[LT_UNWIND_ROW_RULE(row)];
    }
    const auto place = rows_.store(rows);
    if (!place) {
      remove_pages(first_page, i);
      return false;
    }
    pages_.values()[first_page + i] = {*place, count};
  }
  return true;
}

void UnwindTables::remove_pages(uint32_t first, uint32_t stored) {
  for (lt_unwind_page& page : pages_.values().subspan(first, stored)) {
    rows_.remove(page.first, page.count);
    page = {};
  }
}

/// A row, without its address, for a rule. Rules are few and alike in all files: they stay.
uint64_t UnwindTables::shared_rule(const lt_unwind_rule& rule) {
  const auto next = static_cast<uint32_t>(rule_index_.size());
  auto known = rule_index_.find(rule);
  if (known == rule_index_.end()) {
    if (next >= rules_.size()) return uint64_t{LT_UNWIND_CFA_UNSUPPORTED} << 12;
    rules_.values()[next] = rule;
    known = rule_index_.emplace(rule, next).first;
  }
  return static_cast<uint64_t>(known->second) << 16 | uint64_t{LT_UNWIND_CFA_RULE} << 12;
}

size_t UnwindTables::drop_unused_modules(Clock::duration unused_for) {
  const size_t before = modules_.size();
  const auto now = Clock::now();
  for (auto at = modules_.begin(); at != modules_.end();) {
    const Module& module = at->second;
    if (module.users > 0 || now - module.unused_since < unused_for) {
      ++at;
      continue;
    }
    remove_pages(module.first_page, module.pages);
    free_pages_.give_back(module.first_page, module.pages);
    by_key_.erase(module.key);
    at = modules_.erase(at);
  }
  if (modules_.size() < before) refused_.clear();
  return before - modules_.size();
}

// ---- Processes ---------------------------------------------------------------------------------

Result<void> UnwindTables::set_process(uint32_t tgid, std::span<const UnwindMapping> mappings) {
  std::vector<UnwindMapping> sorted(mappings.begin(), mappings.end());
  std::sort(sorted.begin(), sorted.end(),
            [](const UnwindMapping& a, const UnwindMapping& b) { return a.start < b.start; });
  Process process;
  process.ranges = ranges_of(sorted);
  for (const UnwindMapping& mapping : sorted) {
    if (modules_.contains(mapping.module.value)) process.modules.insert(mapping.module.value);
  }

  const auto old = processes_.find(tgid);
  const bool known = old != processes_.end();
  const auto published = publish(tgid, process.ranges, known ? &old->second : nullptr);
  if (!published) {
    ++refused_processes_;
    return published.unexpected();
  }
  process.value = *published;
  for (const uint32_t id : process.modules) ++modules_.at(id).users;
  if (known) let_go(old->second);
  processes_.insert_or_assign(tgid, std::move(process));
  return {};
}

void UnwindTables::drop_process(uint32_t tgid) {
  const auto known = processes_.find(tgid);
  if (known == processes_.end()) return;
  bpf_map_delete_elem(fds_.procs, &tgid);
  let_go(known->second);
  processes_.erase(known);
}

lt_unwind_range UnwindTables::range_of(const UnwindMapping& mapping) const {
  lt_unwind_range range{mapping.start, mapping.end, 0, 0, 0};
  const auto found = modules_.find(mapping.module.value);
  if (found == modules_.end()) return range;
  const Module& module = found->second;
  for (const unwind::Segment& segment : module.segments) {
    const auto address = segment.address_of(mapping.file_offset);
    if (!address) continue;
    range.bias = mapping.start - (*address - module.base);
    range.first_page = module.first_page;
    range.pages = module.pages;
    break;
  }
  return range;
}

std::vector<lt_unwind_range> UnwindTables::ranges_of(std::span<const UnwindMapping> sorted) const {
  std::vector<lt_unwind_range> ranges;
  ranges.reserve(sorted.size());
  for (const UnwindMapping& mapping : sorted) ranges.push_back(range_of(mapping));
  return ranges;
}

/// Writes the ranges to a slice of their own and then makes the process point at it.
Result<lt_unwind_process> UnwindTables::publish(uint32_t tgid,
                                                const std::vector<lt_unwind_range>& ranges,
                                                const Process* old) {
  const auto count = static_cast<uint32_t>(ranges.size());
  const auto first = take_ranges(count);
  if (!first) return fail("no room for the process's mappings");
  std::copy(ranges.begin(), ranges.end(), ranges_.values().begin() + *first);
  // Rows that are cached stay true when mappings were only added.
  const bool keeps = old != nullptr && extends(ranges, old->ranges);
  const lt_unwind_process value{*first, count, keeps ? old->value.generation : ++last_generation_};
  if (bpf_map_update_elem(fds_.procs, &tgid, &value, BPF_ANY) != 0) {
    const int error = errno;
    free_ranges_.give_back(*first, count);
    return fail(describe_errno("cannot add a process to the unwinder", error));
  }
  return value;
}

std::optional<uint32_t> UnwindTables::take_ranges(uint32_t count) {
  const auto now = Clock::now();
  while (!retired_.empty() && now - retired_.front().since >= kRetirement) {
    free_ranges_.give_back(retired_.front().first, retired_.front().count);
    retired_.pop_front();
  }
  return free_ranges_.take(count);
}

/// Ends what a process, or its earlier layout, holds.
void UnwindTables::let_go(const Process& process) {
  const auto now = Clock::now();
  retired_.push_back({now, process.value.first, process.value.count});
  for (const uint32_t id : process.modules) {
    Module& module = modules_.at(id);
    if (--module.users == 0) module.unused_since = now;
  }
}

UnwindUsage UnwindTables::usage() const {
  UnwindUsage usage;
  usage.row_bytes = rows_.bytes();
  usage.modules = modules_.size();
  usage.processes = processes_.size();
  for (const auto& [tgid, process] : processes_) usage.ranges += process.ranges.size();
  usage.refused_modules = refused_modules_;
  usage.refused_processes = refused_processes_;
  return usage;
}

}  // namespace leaktrace::tracer
