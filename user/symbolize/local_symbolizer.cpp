// SPDX-License-Identifier: Apache-2.0
#include "user/symbolize/local_symbolizer.h"

#include <list>
#include <unordered_map>
#include <utility>

namespace leaktrace::symbolize {
namespace {

/// Modules whose symbols are held open at a time; beyond it the one that was not asked for the
/// longest is closed, and read anew when it is asked for again.
constexpr std::size_t kMaxOpen = 256;

}  // namespace

struct LocalSymbolizer::State {
  struct Module {
    ModuleFile file;
    FileLosses losses;  ///< of its files
    std::unique_ptr<ModuleSymbols> symbols;
    std::list<model::ModuleId>::iterator recent;  ///< valid while symbols is set
  };

  ModuleSymbols* open(model::ModuleId id) {
    auto found = modules.find(id);
    if (found == modules.end()) return nullptr;
    Module& module = found->second;
    if (module.symbols) {
      recent.splice(recent.begin(), recent, module.recent);
      return module.symbols.get();
    }
    if (recent.size() >= kMaxOpen) {
      modules.at(recent.back()).symbols.reset();
      recent.pop_back();
    }
    module.losses.clear();
    module.symbols = std::make_unique<ModuleSymbols>(module.file, module.losses, fetcher);
    recent.push_front(id);
    module.recent = recent.begin();
    return module.symbols.get();
  }

  std::unique_ptr<Debuginfod> debuginfod;  ///< outlives the modules, which ask it
  DebugFileFetcher fetcher;
  std::unordered_map<model::ModuleId, Module> modules;
  std::list<model::ModuleId> recent;  ///< modules that are open, the last used first
};

LocalSymbolizer::LocalSymbolizer() : state_(std::make_unique<State>()) {}
LocalSymbolizer::~LocalSymbolizer() = default;

void LocalSymbolizer::add_module(ModuleFile file) {
  model::ModuleId id = file.id;
  state_->modules.try_emplace(id, State::Module{std::move(file), {}, nullptr, {}});
}

std::vector<model::SourceFrame> LocalSymbolizer::look_up(model::ModuleId module,
                                                         std::uint64_t address) {
  ModuleSymbols* symbols = state_->open(module);
  if (symbols == nullptr) return {model::SourceFrame{}};
  return symbols->look_up(address);
}

void LocalSymbolizer::use(std::unique_ptr<Debuginfod> debuginfod) {
  state_->debuginfod = std::move(debuginfod);
  state_->fetcher = [asked = state_->debuginfod.get()](const std::string& build_id) {
    return asked->fetch(build_id);
  };
}

void LocalSymbolizer::fetch_through(DebugFileFetcher fetcher) {
  state_->fetcher = std::move(fetcher);
}

Debuginfod* LocalSymbolizer::debuginfod() const {
  return state_->debuginfod.get();
}

const FileLosses& LocalSymbolizer::losses_of(model::ModuleId id) const {
  static const FileLosses none;
  auto module = state_->modules.find(id);
  return module == state_->modules.end() ? none : module->second.losses;
}

std::vector<model::FileLoss> LocalSymbolizer::file_losses() const {
  FileLosses all;
  for (const auto& [id, module] : state_->modules) all.add(module.losses);
  return all.list();
}

}  // namespace leaktrace::symbolize
