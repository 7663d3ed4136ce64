// SPDX-License-Identifier: Apache-2.0
#include "user/symbolize/remote_symbolizer.h"

#include <fmt/core.h>

#include <array>
#include <utility>

#include "user/base/foreign_file.h"
#include "user/base/log.h"
#include "user/symbolize/symbol_messages.h"
#include "user/symbolize/symbol_server.h"

namespace leaktrace::symbolize {
namespace {

/// Workers that ended before their time; then no more are started.
constexpr unsigned kMostEnds = 16;
/// Of one module.
constexpr unsigned kMostEndsOfModule = 2;
constexpr std::size_t kMostAnswerBytes = std::size_t{64} << 20;

std::vector<model::SourceFrame> no_names() {
  return std::vector<model::SourceFrame>(1);
}

bool is_by_build_id(const std::string& path) {
  return path.starts_with("/usr/lib/debug/.build-id/") && path.find("..") == std::string::npos;
}

}  // namespace

Result<std::unique_ptr<RemoteSymbolizer>> RemoteSymbolizer::create(const WorkBounds& bounds) {
  auto sandbox = Sandbox::create(work());
  if (!sandbox) return sandbox.unexpected();
  return std::make_unique<RemoteSymbolizer>(std::move(*sandbox), bounds);
}

SandboxWork RemoteSymbolizer::work() {
  return {.name = "lt-symbols", .body = &serve_symbols};
}

RemoteSymbolizer::~RemoteSymbolizer() = default;

void RemoteSymbolizer::add_module(ModuleFile file) {
  const model::ModuleId id = file.id;
  if (!modules_.contains(id)) modules_[id].file = std::move(file);
}

RemoteSymbolizer::Frames RemoteSymbolizer::look_up(model::ModuleId id, std::uint64_t address) {
  auto found = modules_.find(id);
  if (found == modules_.end()) return no_names();
  Module& module = found->second;
  while (!module.is_given_up) {
    if (auto frames = ask(module, address)) return std::move(*frames);
    note_end(module);
  }
  return no_names();
}

// Nothing when the worker is to be ended, or cannot be started.
std::optional<RemoteSymbolizer::Frames> RemoteSymbolizer::ask(Module& module,
                                                              std::uint64_t address) {
  if (!sandbox_->is_running()) {
    for (auto& [id, other] : modules_) other.is_known = false;
  }
  if (sandbox_->socket() < 0 || !tell_of(module)) return std::nullopt;
  Packer packer;
  packer.number(module.file.id.value);
  packer.number(address);
  if (!send(sandbox_->socket(), SymbolMessage::look_up, packer)) return std::nullopt;
  return await_frames(module);
}

bool RemoteSymbolizer::tell_of(Module& module) {
  if (std::exchange(module.is_known, true)) return true;
  const ModuleFile& file = module.file;
  std::array<int, kMostMessageFds> fds{};
  std::size_t count = 0;
  if (file.fd) fds[count++] = file.fd.get();
  if (file.root.fd() >= 0) fds[count++] = file.root.fd();
  Packer packer;
  packer.number(file.id.value);
  packer.text(file.path);
  packer.text(file.build_id);
  packer.text(file.root.name());
  packer.number(file.fd ? 1 : 0);
  packer.number(file.root.is_host() ? 0 : 1);
  packer.number(debuginfod_ ? 1 : 0);
  return static_cast<bool>(
      send(sandbox_->socket(), SymbolMessage::add_module, packer, {fds.data(), count}));
}

std::optional<RemoteSymbolizer::Frames> RemoteSymbolizer::await_frames(Module& module) {
  const Patience patience(*sandbox_, bounds_);
  const ReceiveLimits limits{.most_bytes = kMostAnswerBytes, .takes_fds = false, .go_on = [&] {
                               return patience.lasts();
                             }};
  for (;;) {
    auto message = receive_message(sandbox_->socket(), limits);
    if (!patience.lasts()) overrun_ = patience.overrun();
    if (!message || !*message || !overrun_.empty()) return std::nullopt;
    if (static_cast<SymbolMessage>((*message)->type) == SymbolMessage::frames) {
      return take_frames(**message, module);
    }
    if (!answer(**message, module)) return std::nullopt;
  }
}

std::optional<RemoteSymbolizer::Frames> RemoteSymbolizer::take_frames(const Message& message,
                                                                      Module& module) {
  Unpacker body(message.body);
  Frames frames = unpack_frames(body);
  if (body.number() != 0) {
    FileLosses losses = unpack_losses(body);
    if (body.ok()) module.losses = std::move(losses);
  }
  if (!body.ok() || frames.empty()) return std::nullopt;
  return frames;
}

bool RemoteSymbolizer::answer(const Message& question, const Module& module) {
  switch (static_cast<SymbolMessage>(question.type)) {
    case SymbolMessage::open:
      return answer_open(question, module);
    case SymbolMessage::fetch:
      return answer_fetch(question);
    default:
      return false;
  }
}

// In the root of the module that is asked for, or on the host where its debug files lie by build
// id. What may be opened there: see open_foreign().
bool RemoteSymbolizer::answer_open(const Message& question, const Module& module) {
  Unpacker body(question.body);
  const bool on_host = body.number() != 0;
  const std::string path = body.text();
  const bool is_from_host = module.file.root.is_host();
  if (!body.ok() || (on_host && !is_from_host && !is_by_build_id(path))) return false;
  auto opened = open_foreign(on_host ? ForeignRoot() : module.file.root, path);
  Packer packer;
  packer.text(opened ? "" : opened.error().what);
  const int fd = opened ? opened->get() : -1;
  return static_cast<bool>(send(sandbox_->socket(), SymbolMessage::opened, packer,
                                {&fd, fd >= 0 ? std::size_t{1} : std::size_t{0}}));
}

bool RemoteSymbolizer::answer_fetch(const Message& question) {
  Unpacker body(question.body);
  const std::string build_id = body.text();
  if (!body.ok()) return false;
  Debuginfod::Answer answer{.state = Debuginfod::State::failed, .fd = {}, .why = "not asked for"};
  if (debuginfod_) answer = debuginfod_->fetch(build_id);
  Packer packer;
  packer.number(static_cast<std::uint64_t>(answer.state));
  packer.text(answer.why);
  const int fd = answer.fd.get();
  return static_cast<bool>(send(sandbox_->socket(), SymbolMessage::fetched, packer,
                                {&fd, fd >= 0 ? std::size_t{1} : std::size_t{0}}));
}

// The worker is gone, does not make sense, or takes too long.
void RemoteSymbolizer::note_end(Module& module) {
  const std::string overrun = std::exchange(overrun_, {});
  const bool too_long = !overrun.empty();
  std::string how = sandbox_->is_running() ? sandbox_->end(!too_long) : "cannot be started";
  const bool lost = !sandbox_->is_running() && how == "cannot be started";
  if (too_long) how = overrun;
  ++ended_;
  ++module.ended;
  module.is_given_up = lost || too_long || module.ended >= kMostEndsOfModule || ended_ >= kMostEnds;
  log::debug("{}: the process that reads its symbols {}", module.file.path, how);
  how = fmt::format("the process that reads its symbols {}", how);
  if (module.is_given_up) {
    module.ends.add(module.file.path, "it gives no more names: " + how);
  } else {
    module.ends.add(module.file.path, how, 1);
  }
}

std::vector<model::FileLoss> RemoteSymbolizer::file_losses() const {
  FileLosses all;
  for (const auto& [id, module] : modules_) {
    all.add(module.losses);
    all.add(module.ends);
  }
  return all.list();
}

}  // namespace leaktrace::symbolize
