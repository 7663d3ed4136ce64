// SPDX-License-Identifier: Apache-2.0
#include "user/symbolize/module_symbols.h"

#include <fcntl.h>

#include <cerrno>
#include <utility>

#include "user/base/file.h"
#include "user/base/foreign_file.h"
#include "user/base/log.h"
#include "user/symbolize/debug_files.h"
#include "user/symbolize/mini_debug_info.h"

namespace leaktrace::symbolize {
namespace {

/// Beyond it no name says more to anyone. What writes reports shortens to the width that it has.
constexpr std::size_t kLongestName = 32768;

Result<std::unique_ptr<ElfFile>> open_if_same_build(UniqueFd fd, const ModuleFile& module) {
  auto file = ElfFile::open(std::move(fd));
  if (file && !module.build_id.empty() && (*file)->build_id() != module.build_id) {
    return fail("the file is of another build than the one that was traced");
  }
  return file;
}

// The file that the caller holds, else the one that has the module's path in its process's root.
Result<std::unique_ptr<ElfFile>> open_module(const ModuleFile& module) {
  if (module.fd) {
    UniqueFd own(::fcntl(module.fd.get(), F_DUPFD_CLOEXEC, 0));
    if (!own) return fail(describe_errno("cannot open the file", errno));
    return open_if_same_build(std::move(own), module);
  }
  if (!module.path.starts_with('/')) return fail("no file");
  auto fd = open_foreign(module.root, module.path);
  if (!fd) return fd.unexpected();
  if (!*fd) return fail(describe_errno(module.root.name() + module.path, ENOENT));
  return open_if_same_build(std::move(*fd), module);
}

// At a place where no character of UTF-8 is torn.
void cut(std::string& name, std::size_t size) {
  while (size > 0 && (static_cast<unsigned char>(name[size]) & 0xc0) == 0x80) --size;
  name.resize(size);
  name += "…";
}

}  // namespace

ModuleSymbols::ModuleSymbols(const ModuleFile& file, FileLosses& losses, DebugFileFetcher fetcher)
    : query_{file.path, file.build_id, {}, file.root},
      losses_(losses),
      fetcher_(std::move(fetcher)) {
  auto opened = open_module(file);
  if (!opened) {
    why_unread_ = opened.error().what;
    log::debug("{}: {}", query_.path, why_unread_);
    return;
  }
  file_ = std::move(*opened);
  if (query_.build_id.empty()) query_.build_id = file_->build_id();
  if (!file_->sections_readable()) losses_.add(query_.path, "its sections lie outside of the file");
  dwarf_ = DwarfFile::open(*file_, query_, losses_);
}

std::vector<model::SourceFrame> ModuleSymbols::look_up(std::uint64_t address) {
  check_files();
  take_fetched();
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
  cut_names(found.frames);
  return std::move(found.frames);
}

void ModuleSymbols::cut_names(std::vector<model::SourceFrame>& frames) {
  for (model::SourceFrame& frame : frames) {
    for (std::string* name : {&frame.function, &frame.file}) {
      if (name->size() <= kLongestName) continue;
      cut(*name, kLongestName);
      losses_.add(query_.path, "frames with names of more than 32 KiB, which are cut", 1);
    }
  }
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
  if (file_) query_.link = file_->debug_link();
  DebugFile found = find_debug_file(query_, file_.get(), losses_);
  if (found.file) use_debug_file(std::move(found));
  const bool wanted = !file_ && !debug_file_ && query_.path.starts_with('/');
  if (wanted) losses_.add(query_.path, why_unread_);
  fetching_ = fetcher_ && !debug_file_ && !dwarf_ && !query_.build_id.empty();
  take_fetched();
}

void ModuleSymbols::take_fetched() {
  if (!fetching_) return;
  auto answer = fetcher_(query_.build_id);
  if (answer.state == Debuginfod::State::pending) return;
  fetching_ = false;
  if (answer.state == Debuginfod::State::failed) {
    losses_.add(query_.path, "no debug file: " + answer.why, 1);
    return;
  }
  auto file = ElfFile::open(std::move(answer.fd));
  if (!file || (*file)->build_id() != query_.build_id) {
    losses_.add(query_.path, "the debug file that debuginfod sent is not of this build", 1);
    return;
  }
  symbols_.reset();  // made anew with those of the debug file
  use_debug_file({std::move(*file), ForeignRoot()});
}

void ModuleSymbols::use_debug_file(DebugFile found) {
  debug_file_ = std::move(found.file);
  DebugFileQuery query = query_;
  query.root = std::move(found.root);
  debug_dwarf_ = DwarfFile::open(*debug_file_, query, losses_);
}

SymbolTable& ModuleSymbols::symbols() {
  if (symbols_) return *symbols_;
  open_debug_file();
  symbols_ = std::make_unique<SymbolTable>();
  if (debug_file_) symbols_->add(*debug_file_, SymbolTable::Kind::symtab);
  if (file_) {
    symbols_->add(*file_, SymbolTable::Kind::symtab);
    auto mini_file = mini_debug_info(*file_);
    if (mini_file) mini_file_ = std::move(*mini_file);
    if (!mini_file) losses_.add(query_.path, ".gnu_debugdata: " + mini_file.error().what);
    if (mini_file_) symbols_->add(*mini_file_, SymbolTable::Kind::symtab);
    symbols_->add(*file_, SymbolTable::Kind::dynsym);
  }
  symbols_->seal();
  return *symbols_;
}

void ModuleSymbols::check_files() {
  const bool intact = (!file_ || file_->unchanged()) && (!debug_file_ || debug_file_->unchanged());
  if (intact) return;
  losses_.add(query_.path, "the file was changed while it was read; it gives no more names");
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
