// SPDX-License-Identifier: Apache-2.0
#include "tests/bpf/oracle/layouts.h"

#include <fmt/core.h>
#include <time.h>

#include <sstream>

#include "user/base/file.h"

namespace leaktrace::tests {
namespace {

/// libdwfl keeps what it has read of each file for each of them.
constexpr size_t most_unwinders = 12;

uint64_t now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

/// The lines of files and of the vDSO: libdwfl takes no others, and stacks and heaps come and go.
std::string lines_of_code(const std::string& maps) {
  std::istringstream lines(maps);
  std::string text;
  for (std::string line; std::getline(lines, line);) {
    const bool is_file = line.find(" /") != std::string::npos;
    if (is_file || line.find("[vdso]") != std::string::npos) text += line + '\n';
  }
  return text;
}

}  // namespace

void Layouts::note(pid_t pid) {
  auto maps = read_file(fmt::format("/proc/{}/maps", pid));
  if (!maps) return;
  std::string text = lines_of_code(*maps);
  const std::lock_guard lock(mutex_);
  auto& history = history_[pid];
  if (!history.empty() && *history.rbegin()->second == text) return;
  history[now()] = std::make_shared<const std::string>(std::move(text));
}

Layouts::Text Layouts::text_at(pid_t pid, uint64_t time) {
  const std::lock_guard lock(mutex_);
  const auto history = history_.find(pid);
  if (history == history_.end()) return nullptr;
  const auto after = history->second.upper_bound(time);
  return after == history->second.begin() ? nullptr : std::prev(after)->second;
}

CopyUnwinder* Layouts::at(pid_t pid, uint64_t time) {
  const Text text = text_at(pid, time);
  if (!text) return nullptr;
  const auto known = unwinders_.find(*text);
  if (known != unwinders_.end()) return known->second.get();
  if (unwinders_.size() >= most_unwinders) unwinders_.clear();
  auto created = CopyUnwinder::create(*text);
  if (!created) return nullptr;
  return (unwinders_[*text] = std::move(*created)).get();
}

}  // namespace leaktrace::tests
