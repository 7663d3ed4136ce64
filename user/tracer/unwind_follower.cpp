// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/unwind_follower.h"

#include <fcntl.h>

#include <algorithm>
#include <utility>

#include "user/base/log.h"

namespace leaktrace::tracer {
namespace {

/// The cache on disk: a few hundred large files.
constexpr uint64_t most_cache_bytes = uint64_t{256} << 20;

/// Short-lived programs map the same files again and again.
constexpr std::chrono::seconds unused_time{30};

std::unique_ptr<unwind::TableCache> open_cache(const std::string& folder) {
  if (folder.empty()) return nullptr;
  auto cache = unwind::TableCache::open(folder, most_cache_bytes);
  if (cache) return std::move(*cache);
  log::warning("{}", cache.error().message());
  return nullptr;
}

}  // namespace

Result<std::unique_ptr<UnwindFollower>> UnwindFollower::create(
    const UnwindMapFds& fds, const Options& options,
    std::function<void(const UnwindLoss&)> on_loss) {
  auto tables = UnwindTables::create(fds, options.most_row_bytes);
  if (!tables) return tables.unexpected();
  auto loader = UnwindLoader::start(open_cache(options.cache_folder), options.sources);
  if (!loader) return loader.unexpected();
  return std::unique_ptr<UnwindFollower>(
      new UnwindFollower(std::move(*tables), std::move(*loader), std::move(on_loss)));
}

// ---- Processes ---------------------------------------------------------------------------------

bool UnwindFollower::set_code(uint32_t tgid, std::vector<CodeMapping> code, Tables tables) {
  std::vector<CodeMapping>& known = processes_[tgid];
  const bool is_new = known != code;
  if (is_new) known = std::move(code);
  request_tables(known);
  if (tables == Tables::waited_for) wait_for_tables(known);
  if (is_new) publish(tgid, known);
  return is_new;
}

void UnwindFollower::copy_code(uint32_t parent, uint32_t child) {
  const auto from = processes_.find(parent);
  if (from == processes_.end()) return;
  const std::vector<CodeMapping>& code = processes_[child] = from->second;
  publish(child, code);
}

void UnwindFollower::forget(uint32_t tgid) {
  processes_.erase(tgid);
  tables_.drop_process(tgid);
}

bool UnwindFollower::knows(uint32_t tgid, uint64_t address) const {
  const auto process = processes_.find(tgid);
  if (process == processes_.end()) return false;
  const auto& code = process->second;
  const auto after = std::ranges::upper_bound(code, address, {}, &CodeMapping::start);
  return after != code.begin() && address < std::prev(after)->end;
}

void UnwindFollower::publish(uint32_t tgid, const std::vector<CodeMapping>& code) {
  std::vector<UnwindMapping> mappings;
  mappings.reserve(code.size());
  for (const CodeMapping& mapping : code) {
    mappings.push_back({mapping.start, mapping.end, mapping.file_offset, unwind_module(mapping)});
  }
  // Stacks are cut then, and say so; what is counted stays right.
  if (auto set = tables_.set_process(tgid, mappings); !set) {
    log::warning("process {}: {}", tgid, set.error().message());
  }
}

UnwindModule UnwindFollower::unwind_module(const CodeMapping& mapping) {
  if (mapping.vdso) {
    const auto vdso = tables_.add_vdso();
    return vdso ? *vdso : UnwindModule{};
  }
  if (mapping.module == nullptr) return {};
  return tables_.find(file_of(*mapping.module).key).value_or(UnwindModule{});
}

// ---- Files -------------------------------------------------------------------------------------

const UnwindFollower::File& UnwindFollower::file_of(const Module& module) {
  const auto [known, is_new] = files_.try_emplace(module.id);
  File& file = known->second;
  if (!is_new) return file;
  if (!module.fd) {
    on_loss_({module.path, 0, "the file that is mapped cannot be opened"});
    return file;
  }
  auto identity = unwind::identify(module.fd.get(), module.image.build_id);
  if (!identity) {
    on_loss_({module.path, 0, identity.error().what});
    return file;
  }
  file = {*identity, identity->key()};
  return file;
}

void UnwindFollower::request_tables(const std::vector<CodeMapping>& code) {
  std::vector<UnwindRequest> requests;
  for (const CodeMapping& mapping : code) {
    if (mapping.module == nullptr) continue;
    const auto& [identity, key] = file_of(*mapping.module);
    if (key.empty() || tables_.find(key) || tables_.is_refused(key) || unreadable_.contains(key) ||
        !requested_.try_emplace(key, mapping.module->path).second) {
      continue;
    }
    requests.push_back({identity, UniqueFd(::fcntl(mapping.module->fd.get(), F_DUPFD_CLOEXEC, 0))});
  }
  // The largest first: the small ones are done beside it.
  std::ranges::sort(requests, std::ranges::greater{},
                    [](const UnwindRequest& one) { return one.identity.size; });
  for (UnwindRequest& request : requests) loader_->request(std::move(request));
}

void UnwindFollower::wait_for_tables(const std::vector<CodeMapping>& code) {
  const auto is_on_its_way = [this](const CodeMapping& mapping) {
    return mapping.module != nullptr && requested_.contains(file_of(*mapping.module).key);
  };
  const auto start = std::chrono::steady_clock::now();
  while (std::ranges::any_of(code, is_on_its_way)) {
    const auto loaded = loader_->wait();
    if (loaded.empty()) break;
    accept(loaded);
  }
  waited_ += std::chrono::steady_clock::now() - start;
}

void UnwindFollower::on_loaded() {
  accept(loader_->take());
}

void UnwindFollower::accept(const std::vector<LoadedUnwindTable>& loaded) {
  std::set<std::string> added;
  for (const LoadedUnwindTable& one : loaded) {
    if (accept(one)) added.insert(one.key);
  }
  if (added.empty()) return;
  for (const auto& [tgid, code] : processes_) {
    const bool maps_one = std::ranges::any_of(code, [&](const CodeMapping& mapping) {
      return mapping.module != nullptr && added.contains(file_of(*mapping.module).key);
    });
    if (maps_one) publish(tgid, code);
  }
}

/// Loads a table into the kernel; what is missing of it is told. True when it is there.
bool UnwindFollower::accept(const LoadedUnwindTable& loaded) {
  const auto request = requested_.extract(loaded.key);
  const std::string path = request ? request.mapped() : std::string();
  const auto tell = [&](uint64_t count, std::string why) {
    if (told_.insert(loaded.key).second) on_loss_({path, count, std::move(why)});
  };
  const Result<unwind::Table>& table = *loaded.table;
  if (!table) {
    unreadable_.insert(loaded.key);
    tell(0, table.error().what);
    return false;
  }
  if (table->skipped_ranges > 0) {
    tell(table->skipped_ranges, "malformed frame descriptions");
  }
  if (auto added = add_table(loaded); !added) {
    tell(0, added.error().message());
    return false;
  }
  log::debug("{}: {} unwind rows {} in {:.1f} ms", path, table->rows.size(),
             loaded.from_cache ? "read from the cache" : "compiled", loaded.seconds * 1e3);
  return true;
}

Result<UnwindModule> UnwindFollower::add_table(const LoadedUnwindTable& loaded) {
  auto added = tables_.add_table(loaded.key, **loaded.table);
  if (added || tables_.drop_unused_modules(UnwindTables::kRetirement) == 0) return added;
  return tables_.add_table(loaded.key, **loaded.table);
}

UnwindUsage UnwindFollower::usage() const {
  UnwindUsage usage = tables_.usage();
  usage.waited_seconds = waited_.count();
  usage.pending = requested_.size();
  return usage;
}

void UnwindFollower::tend() {
  if (tables_.drop_unused_modules(unused_time) == 0) return;
  for (const auto& [tgid, code] : processes_) request_tables(code);
}

}  // namespace leaktrace::tracer
