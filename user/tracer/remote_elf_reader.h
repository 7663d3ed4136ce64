// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "user/base/sandbox.h"
#include "user/base/worker.h"
#include "user/tracer/elf_reader.h"

namespace leaktrace::tracer {

/// Has ELF files read, and their code decoded, by a process that can do nothing else (Sandbox): a
/// traced program brings its own, and libelf, libdw and capstone are not made for hostile ones.
///
/// Each file is read by a process of its own, which has seen no other. So what a file makes of the
/// process that reads it can only bend what is said of that file: at worst a probe at a wrong place
/// of it, in processes that run this file's code anyway. That is why instructions are decoded there
/// and not here. What this side makes sure of, by the file and without a library: a probe lies in
/// an executable segment, near the entry that was asked for, on bytes that are an instruction of
/// the kind that is claimed; a probe on a return lies on the bytes of one. The kernel decodes the
/// instruction once more, and the target's memory is compared with the file before a probe goes in.
///
/// An error says that a process was ended over a file, and how.
class RemoteElfReader final : public ElfReader {
 public:
  /// What its sandbox is for.
  [[nodiscard]] static SandboxWork work();

  /// `bounds`: of one question about one file.
  explicit RemoteElfReader(std::unique_ptr<Sandbox> sandbox,
                           const WorkBounds& bounds = {.answer_bytes = std::size_t{64} << 20});

  [[nodiscard]] Result<ElfContents> read(int fd, std::span<const std::string> wanted) override;
  [[nodiscard]] Result<std::vector<HookPlace>> find_places(int fd, const ElfImage& image,
                                                           std::span<const HookRequest> requests,
                                                           const ClassSet& emulated) override;
  [[nodiscard]] std::optional<lt_pg_layout> find_libpq_layout(int fd,
                                                              const ElfImage& image) override;

 private:
  [[nodiscard]] Result<Message> ask(int fd, std::uint32_t question, const Packer& packer);

  Worker worker_;
  std::optional<std::pair<dev_t, ino_t>> file_;  ///< that the worker reads
};

}  // namespace leaktrace::tracer
