// SPDX-License-Identifier: Apache-2.0
// What RemoteSymbolizer and the process that reads symbols for it (symbol_server.h) say to each
// other. One asks, the other answers; until it does, it may ask for files itself:
//
//   leaktrace                           worker
//   add_module  (file, root) ──────────▶
//   look_up     ───────────────────────▶
//               ◀─────────────────────── open    a name in the root of the module, or of the host
//   opened      (file) ────────────────▶
//               ◀─────────────────────── fetch   a debug file by build id (debuginfod)
//   fetched     (file) ────────────────▶
//               ◀─────────────────────── frames  and what could not be read of the module's files
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "user/base/message.h"
#include "user/model/record.h"
#include "user/symbolize/file_losses.h"

namespace leaktrace::symbolize {

enum class SymbolMessage : std::uint32_t {
  add_module = 1,
  look_up = 2,
  opened = 3,
  fetched = 4,
  open = 5,
  fetch = 6,
  frames = 7,
};

void pack(Packer& packer, const std::vector<model::SourceFrame>& frames);
void pack(Packer& packer, const FileLosses& losses);
/// What was packed; Unpacker::ok() says whether it was that.
[[nodiscard]] std::vector<model::SourceFrame> unpack_frames(Unpacker& unpacker);
[[nodiscard]] FileLosses unpack_losses(Unpacker& unpacker);

[[nodiscard]] Result<void> send(int socket, SymbolMessage type, const Packer& packer,
                                std::span<const int> fds = {});

}  // namespace leaktrace::symbolize
