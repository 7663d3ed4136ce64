// SPDX-License-Identifier: Apache-2.0
#include "user/symbolize/remote_jit_maps.h"

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "user/base/message.h"
#include "user/symbolize/symbol_messages.h"

namespace leaktrace::symbolize {
namespace {

// Questions; the answers have the same number.
constexpr std::uint32_t kRead = 1;    ///< map, from, to, and the file
constexpr std::uint32_t kLookUp = 2;  ///< map, address
constexpr std::uint32_t kForget = 3;  ///< map

Packer answer_read(JitMaps& maps, JitMaps::Number map, Unpacker& body, int fd) {
  const std::uint64_t from = body.number();
  const auto read = maps.read(map, fd, from, body.number());
  Packer answer;
  answer.text(read ? "" : read.error().what);
  answer.number(read ? read->offset : 0);
  answer.number(read ? read->counts.malformed : 0);
  answer.number(read ? read->counts.left_out : 0);
  return answer;
}

Packer answer_look_up(JitMaps& maps, JitMaps::Number map, Unpacker& body) {
  const auto found = maps.look_up(map, body.number());
  std::vector<model::SourceFrame> frames;
  if (found && *found) frames.push_back(**found);
  Packer answer;
  pack(answer, frames);
  return answer;
}

void serve(int socket) {
  JitMaps maps;
  for (;;) {
    auto question = receive_message(socket, {.takes_fds = true, .go_on = {}});
    if (!question || !*question) return;
    const Message& message = **question;
    Unpacker body(message.body);
    const JitMaps::Number map{static_cast<std::uint32_t>(body.number())};
    Packer answer;
    if (message.type == kRead && !message.fds.empty()) {
      answer = answer_read(maps, map, body, message.fds.front().get());
    } else if (message.type == kLookUp) {
      answer = answer_look_up(maps, map, body);
    } else {
      maps.forget(map);
    }
    if (!send_message(socket, message.type, answer.bytes())) return;
  }
}

Unexpected about_process(const Error& error) {
  return fail("the process that reads it " + error.what);
}

Packer question(JitMaps::Number map, std::initializer_list<std::uint64_t> numbers) {
  Packer packer;
  packer.number(map.value);
  for (const std::uint64_t number : numbers) packer.number(number);
  return packer;
}

}  // namespace

SandboxWork RemoteJitMaps::work() {
  return {.name = "lt-perf-maps", .body = &serve};
}

RemoteJitMaps::RemoteJitMaps(std::unique_ptr<Sandbox> sandbox, const WorkBounds& bounds)
    : worker_(std::move(sandbox), bounds) {}

Result<JitMaps::Read> RemoteJitMaps::read(Number map, int fd, std::uint64_t from,
                                          std::uint64_t to) {
  const auto answer = worker_.ask(kRead, question(map, {from, to}), {&fd, 1});
  if (!answer) return about_process(answer.error());
  Unpacker body(answer->body);
  std::string why = body.text();
  Read read;
  read.offset = body.number();
  read.counts = {.malformed = body.number(), .left_out = body.number()};
  if (!body.ok() || (why.empty() && (read.offset < from || read.offset > to))) {
    return about_process(worker_.refuse_answer().error);
  }
  if (!why.empty()) return fail(std::move(why));
  return read;
}

Result<std::optional<model::SourceFrame>> RemoteJitMaps::look_up(Number map,
                                                                 std::uint64_t address) {
  const auto answer = worker_.ask(kLookUp, question(map, {address}));
  if (!answer) return about_process(answer.error());
  Unpacker body(answer->body);
  std::vector<model::SourceFrame> frames = unpack_frames(body);
  if (!body.ok() || frames.size() > 1) return about_process(worker_.refuse_answer().error);
  return frames.empty() ? std::nullopt : std::optional(std::move(frames.front()));
}

// A failure is seen at the next question.
void RemoteJitMaps::forget(Number map) {
  if (worker_.is_running()) (void)worker_.ask(kForget, question(map, {}));
}

}  // namespace leaktrace::symbolize
