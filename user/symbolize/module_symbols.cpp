// SPDX-License-Identifier: Apache-2.0
#include "user/symbolize/module_symbols.h"

#include <fcntl.h>

#include "user/base/log.h"
#include "user/symbolize/debug_files.h"
#include "user/symbolize/mini_debug_info.h"
#include "user/symbolize/open_file.h"

namespace leaktrace::symbolize {
namespace {

std::unique_ptr<ElfFile> open_if_same_build(UniqueFd fd, const ModuleFile& module) {
  auto file = ElfFile::open(std::move(fd));
  if (!file) {
    log::debug("{}: {}", module.path, file.error().what);
    return nullptr;
  }
  if (!module.build_id.empty() && (*file)->build_id() != module.build_id) {
    log::debug("{}: the file is of another build than the one that was traced", module.path);
    return nullptr;
  }
  return std::move(*file);
}

// The file that the caller holds, else the one under the module's path. Without a build id to
// compare, the host's file of that name says nothing about that of a process with another root.
std::unique_ptr<ElfFile> open_module(const ModuleFile& module) {
  if (module.fd) {
    UniqueFd own(::fcntl(module.fd.get(), F_DUPFD_CLOEXEC, 0));
    return own ? open_if_same_build(std::move(own), module) : nullptr;
  }
  if (!module.path.starts_with('/')) return nullptr;
  if (auto fd = open_regular(module.path, module.root)) {
    if (auto file = open_if_same_build(std::move(*fd), module)) return file;
  }
  if (module.root.empty() || module.build_id.empty()) return nullptr;
  auto fd = open_regular(module.path);
  return fd ? open_if_same_build(std::move(*fd), module) : nullptr;
}

}  // namespace

ModuleSymbols::ModuleSymbols(const ModuleFile& file)
    : path_(file.path), build_id_(file.build_id), root_(file.root), file_(open_module(file)) {
  if (!file_) return;
  if (build_id_.empty()) build_id_ = file_->build_id();
  dwarf_ = DwarfFile::open(*file_, root_);
}

std::vector<model::SourceFrame> ModuleSymbols::look_up(std::uint64_t address) {
  check_files();
  DwarfFrames found;
  if (dwarf_) found = dwarf_->look_up(address);
  if (found.frames.empty()) {
    open_debug_file();
    if (debug_dwarf_) found = debug_dwarf_->look_up(address);
  }
  if (found.frames.empty()) found.frames.emplace_back();
  std::string& function = found.frames.back().function;
  if (function.empty()) {
    function = symbols().find(address);
  } else if (found.plain_name_at) {
    prefer_symbol(function, *found.plain_name_at);
  }
  return std::move(found.frames);
}

void ModuleSymbols::prefer_symbol(std::string& function, std::uint64_t begin) {
  const bool internal = function.starts_with('_');
  const bool scoped = function.find_first_of(":<") != std::string::npos;
  if (!internal && !scoped) return;  // in plain C they are the same, so no table is read for it
  SymbolTable::Name symbol = symbols().name_at(begin);
  if (symbol.mangled || (internal && symbol.exported)) function = std::move(symbol.text);
}

void ModuleSymbols::open_debug_file() {
  if (std::exchange(debug_file_looked_for_, true)) return;
  DebugFileQuery query{path_, build_id_, {}, root_};
  if (file_) query.link = file_->debug_link();
  debug_file_ = find_debug_file(query);
  if (debug_file_) debug_dwarf_ = DwarfFile::open(*debug_file_, root_);
}

SymbolTable& ModuleSymbols::symbols() {
  if (symbols_) return *symbols_;
  open_debug_file();
  symbols_ = std::make_unique<SymbolTable>();
  if (debug_file_) symbols_->add(*debug_file_, SymbolTable::Kind::symtab);
  if (file_) {
    symbols_->add(*file_, SymbolTable::Kind::symtab);
    mini_file_ = mini_debug_info(*file_);
    if (mini_file_) symbols_->add(*mini_file_, SymbolTable::Kind::symtab);
    symbols_->add(*file_, SymbolTable::Kind::dynsym);
  }
  symbols_->seal();
  return *symbols_;
}

void ModuleSymbols::check_files() {
  const bool intact = (!file_ || file_->unchanged()) && (!debug_file_ || debug_file_->unchanged());
  if (intact) return;
  log::debug("{}: the file was changed while it was read; it gives no more names", path_);
  symbols_ = std::make_unique<SymbolTable>();
  symbols_->seal();
  debug_dwarf_.reset();
  dwarf_.reset();
  mini_file_.reset();
  debug_file_.reset();
  file_.reset();
  debug_file_looked_for_ = true;
}

}  // namespace leaktrace::symbolize
