// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/modules.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>

#include "user/base/log.h"

namespace leaktrace::tracer {
namespace {

// /proc/PID/map_files leads to the very file that is mapped, whatever its name is now; it needs
// CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN. Else the name, when it still is the same file.
UniqueFd open_mapped_file(pid_t pid, const Mapping& mapping) {
  UniqueFd fd(
      ::open(fmt::format("/proc/{}/map_files/{:x}-{:x}", pid, mapping.start, mapping.end).c_str(),
             O_RDONLY | O_CLOEXEC));
  if (fd) return fd;
  fd = UniqueFd(::open(path_in_root(pid, mapping.path).c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info {};
  if (fd && ::fstat(fd.get(), &info) == 0 && info.st_ino == mapping.inode) return fd;
  return UniqueFd();
}

}  // namespace

const Module* ModuleTable::find_or_open(pid_t pid, const Mapping& mapping) {
  auto [entry, is_new] = by_inode_.try_emplace({mapping.device, mapping.inode}, nullptr);
  if (!is_new) return entry->second;

  auto module = std::make_unique<Module>();
  module->id = static_cast<std::uint32_t>(modules_.size() + 1);
  module->path = mapping.path;
  module->root = fmt::format("/proc/{}/root", pid);
  module->fd = open_mapped_file(pid, mapping);
  if (!module->fd) {
    log::warning("cannot open {} of process {}: its functions are not traced and have no names",
                 mapping.path, pid);
  } else if (auto image = ElfImage::read(module->fd.get(), wanted_)) {
    module->image = std::move(*image);
    if (find_function(module->image, kPythonEvaluation) != nullptr) {
      module->python = read_python_image(module->fd.get());
    }
  } else {
    log::debug("{}: {}", mapping.path, image.error().message());
  }
  entry->second = module.get();
  modules_.push_back(std::move(module));
  return entry->second;
}

}  // namespace leaktrace::tracer
