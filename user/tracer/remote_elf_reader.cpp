// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/remote_elf_reader.h"

#include <sys/stat.h>

#include <algorithm>
#include <string_view>

#include "user/base/log.h"
#include "user/tracer/elf_messages.h"
#include "user/tracer/place_check.h"

namespace leaktrace::tracer {
namespace {

/// Longer build ids than the 20 bytes of SHA-1 are rare.
constexpr std::size_t kLongestBuildId = 2 * 64;

void answer_read(ElfReader& reader, int fd, Unpacker& body, Packer& answer) {
  std::vector<std::string> wanted(body.count());
  for (std::string& name : wanted) name = body.text();
  const auto contents = reader.read(fd, wanted);
  if (contents) pack(answer, *contents);
}

void answer_find_places(ElfReader& reader, int fd, Unpacker& body, Packer& answer) {
  const ElfImage image = unpack_image(body);
  const std::vector<HookRequest> requests = unpack_requests(body);
  const ClassSet emulated(body.number());
  const auto places = reader.find_places(fd, image, requests, emulated);
  pack(answer, places ? std::span<const HookPlace>(*places) : std::span<const HookPlace>());
}

void serve(int socket) {
  ElfReader reader;
  for (;;) {
    auto question = receive_message(socket, {.takes_fds = true, .go_on = {}});
    if (!question || !*question || (*question)->fds.empty()) return;
    const Message& message = **question;
    const int fd = message.fds.front().get();
    Unpacker body(message.body);
    Packer answer;
    switch (static_cast<ElfMessage>(message.type)) {
      case ElfMessage::read:
        answer_read(reader, fd, body, answer);
        break;
      case ElfMessage::find_places:
        answer_find_places(reader, fd, body, answer);
        break;
      case ElfMessage::find_layout:
        pack_plain(answer, reader.find_libpq_layout(fd, unpack_image(body)));
        break;
    }
    if (!send_message(socket, message.type, answer.bytes())) return;
  }
}

/// Part of the names of files.
bool is_build_id(std::string_view text) {
  return text.size() <= kLongestBuildId &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Unexpected about_process(const Error& error) {
  return fail("the process that reads it " + error.what);
}

}  // namespace

SandboxWork RemoteElfReader::work() {
  return {.name = "lt-elf", .body = &serve};
}

RemoteElfReader::RemoteElfReader(std::unique_ptr<Sandbox> sandbox, const WorkBounds& bounds)
    : worker_(std::move(sandbox), bounds) {}

Result<ElfContents> RemoteElfReader::read(int fd, std::span<const std::string> wanted) {
  Packer question;
  question.number(wanted.size());
  for (const std::string& name : wanted) question.text(name);
  const auto answer = ask(fd, static_cast<std::uint32_t>(ElfMessage::read), question);
  if (!answer) return about_process(answer.error());
  Unpacker body(answer->body);
  ElfContents contents = unpack_contents(body);
  const bool sound = body.ok() && is_build_id(contents.image.build_id) &&
                     std::ranges::all_of(contents.image.functions, [&](const FunctionSymbol& one) {
                       return std::ranges::find(wanted, one.name) != wanted.end();
                     });
  if (!sound) return about_process(worker_.refuse_answer().error);
  contents.image.segments = read_load_segments(fd);
  return contents;
}

Result<std::vector<HookPlace>> RemoteElfReader::find_places(int fd, const ElfImage& image,
                                                            std::span<const HookRequest> requests,
                                                            const ClassSet& emulated) {
  Packer question;
  pack(question, image);
  pack(question, requests);
  question.number(emulated.to_ullong());
  const auto answer = ask(fd, static_cast<std::uint32_t>(ElfMessage::find_places), question);
  if (!answer) return about_process(answer.error());
  Unpacker body(answer->body);
  std::vector<HookPlace> places = unpack_places(body);
  bool sound = body.ok() && places.size() == requests.size();
  for (std::size_t i = 0; sound && i < places.size(); ++i) {
    if (!is_in_code(image.segments, requests[i].site.function.file_offset, 1)) {
      places[i] = {.site = {}, .exits = {}, .declined = "it does not lie in the file's code"};
      places[i].site.entry = places[i].site.offset = requests[i].site.function.file_offset;
    }
    sound = is_sound(places[i], requests[i], fd, image, emulated);
  }
  if (!sound) return about_process(worker_.refuse_answer().error);
  return places;
}

std::optional<lt_pg_layout> RemoteElfReader::find_libpq_layout(int fd, const ElfImage& image) {
  Packer question;
  pack(question, image);
  const auto answer = ask(fd, static_cast<std::uint32_t>(ElfMessage::find_layout), question);
  if (!answer) {
    log::warning("a copy of libpq: the process that reads it {}", answer.error().what);
    return std::nullopt;
  }
  Unpacker body(answer->body);
  return unpack_plain<lt_pg_layout>(body);
}

Result<Message> RemoteElfReader::ask(int fd, std::uint32_t question, const Packer& packer) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return fail("cannot be given the file");
  const std::pair file{info.st_dev, info.st_ino};
  if (file_ != file) worker_.renew();
  file_ = file;
  return worker_.ask(question, packer, {&fd, 1});
}

}  // namespace leaktrace::tracer
