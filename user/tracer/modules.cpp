// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/modules.h"

#include <fmt/core.h>
#include <sys/stat.h>

#include "user/base/log.h"
#include "user/tracer/overlay_layers.h"

namespace leaktrace::tracer {
namespace {

// /proc/PID/map_files leads to the very file that is mapped, whatever its name is now; it needs
// CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN. Else the name, when it still is the same file.
Result<UniqueFd> open_mapped_file(pid_t pid, const ForeignRoot& root, const Mapping& mapping) {
  auto mapped = open_foreign_link(
      fmt::format("/proc/{}/map_files/{:x}-{:x}", pid, mapping.start, mapping.end));
  if (mapped && *mapped) return mapped;
  auto named = open_foreign(root, mapping.path);
  struct stat info {};
  if (named && *named && ::fstat(named->get(), &info) == 0 && info.st_ino != mapping.inode) {
    named = UniqueFd();
  }
  if (named && !*named) return fail("the file that is mapped has no name any more");
  return named;
}

// A process that is gone has no root: its files are looked for by build id only then.
ForeignRoot root_of(pid_t pid) {
  auto root = ForeignRoot::open(fmt::format("/proc/{}/root", pid));
  return root ? std::move(*root) : ForeignRoot::none();
}

}  // namespace

const Module* ModuleTable::find_or_open(pid_t pid, const Mapping& mapping) {
  auto [entry, is_new] = by_inode_.try_emplace({mapping.device, mapping.inode}, nullptr);
  if (!is_new) return entry->second;

  auto module = std::make_unique<Module>();
  module->id = static_cast<std::uint32_t>(modules_.size() + 1);
  module->path = mapping.path;
  module->root = root_of(pid);
  auto fd = open_mapped_file(pid, module->root, mapping);
  if (fd) module->fd = std::move(*fd);
  if (!fd) {
    log::warning(
        "cannot open {} of process {}: its functions are not traced and have no names ({})",
        mapping.path, pid, fd.error().what);
  } else {
    read(*module);
  }
  entry->second = module.get();
  modules_.push_back(std::move(module));
  return entry->second;
}

void ModuleTable::read(Module& module) {
  auto contents = reader_->read(module.fd.get(), wanted_);
  if (!contents) {
    module.unread = contents.error().what;
    return;
  }
  if (!contents->not_elf.empty()) log::debug("{}: {}", module.path, contents->not_elf);
  module.image = std::move(contents->image);
  module.python = contents->python;
  module.on_overlay = contents->not_elf.empty() && is_on_overlay(module.fd.get());
}

std::vector<const Module*> ModuleTable::layers_of(const Module& module, pid_t pid,
                                                  const std::string& path) {
  std::vector<const Module*> layers;
  for (UniqueFd& fd : layer_files(module.fd.get(), pid, module.root, path)) {
    struct stat info {};
    if (::fstat(fd.get(), &info) != 0) continue;
    auto [entry, is_new] = layers_.try_emplace({info.st_dev, info.st_ino}, nullptr);
    if (is_new) {
      auto layer = std::make_unique<Module>();
      layer->id = static_cast<std::uint32_t>(modules_.size() + 1);
      layer->path = module.path;
      layer->root = module.root;
      layer->fd = std::move(fd);
      layer->image = module.image;
      layer->original = &module;
      entry->second = layer.get();
      modules_.push_back(std::move(layer));
    }
    if (entry->second->original == &module) layers.push_back(entry->second);
  }
  return layers;
}

}  // namespace leaktrace::tracer
