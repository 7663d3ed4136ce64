// SPDX-License-Identifier: Apache-2.0
#include "user/symbolize/symbol_messages.h"

namespace leaktrace::symbolize {

void pack(Packer& packer, const std::vector<model::SourceFrame>& frames) {
  packer.number(frames.size());
  for (const model::SourceFrame& frame : frames) {
    packer.text(frame.function);
    packer.text(frame.file);
    packer.number(frame.line);
    packer.number(frame.inlined ? 1 : 0);
  }
}

void pack(Packer& packer, const FileLosses& losses) {
  Packer causes;
  std::uint64_t count = 0;
  losses.each([&](const std::string& path, const std::string& why, std::uint64_t parts) {
    causes.text(path);
    causes.text(why);
    causes.number(parts);
    ++count;
  });
  packer.number(count);
  packer.append(causes);
}

std::vector<model::SourceFrame> unpack_frames(Unpacker& unpacker) {
  std::vector<model::SourceFrame> frames;
  const std::size_t count = unpacker.count();
  for (std::size_t i = 0; i < count && unpacker.ok(); ++i) {
    model::SourceFrame frame;
    frame.function = unpacker.text();
    frame.file = unpacker.text();
    frame.line = static_cast<std::uint32_t>(unpacker.number());
    frame.inlined = unpacker.number() != 0;
    frames.push_back(std::move(frame));
  }
  return frames;
}

FileLosses unpack_losses(Unpacker& unpacker) {
  FileLosses losses;
  const std::size_t count = unpacker.count();
  for (std::size_t i = 0; i < count && unpacker.ok(); ++i) {
    const std::string path = unpacker.text();
    const std::string why = unpacker.text();
    losses.add(path, why, unpacker.number());
  }
  return losses;
}

Result<void> send(int socket, SymbolMessage type, const Packer& packer, std::span<const int> fds) {
  return send_message(socket, static_cast<std::uint32_t>(type), packer.bytes(), fds);
}

}  // namespace leaktrace::symbolize
