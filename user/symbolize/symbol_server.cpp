// SPDX-License-Identifier: Apache-2.0
#include "user/symbolize/symbol_server.h"

#include <unistd.h>

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "user/base/foreign_file.h"
#include "user/symbolize/local_symbolizer.h"
#include "user/symbolize/symbol_messages.h"

namespace leaktrace::symbolize {
namespace {

class SymbolServer {
 public:
  explicit SymbolServer(int socket) : socket_(socket) {
    open_foreign_through([this](const ForeignRoot& root, const std::string& path) {
      return open(root.is_host(), path);
    });
  }

  void serve() {
    while (auto message = receive()) {
      Unpacker body(message->body);
      switch (static_cast<SymbolMessage>(message->type)) {
        case SymbolMessage::add_module:
          add_module(body, std::move(message->fds));
          break;
        case SymbolMessage::look_up:
          look_up(body);
          break;
        default:
          break;
      }
    }
  }

 private:
  std::optional<Message> receive() const {
    auto message = receive_message(socket_, {.takes_fds = true, .go_on = {}});
    return message ? std::move(*message) : std::nullopt;
  }

  /// Asks, and waits for the answer. Without leaktrace there is nobody to work for.
  Message ask(SymbolMessage question, const Packer& packer) const {
    auto answer = send(socket_, question, packer) ? receive() : std::nullopt;
    if (!answer) ::_exit(0);
    return std::move(*answer);
  }

  Result<UniqueFd> open(bool on_host, const std::string& path) const {
    Packer packer;
    packer.number(on_host ? 1 : 0);
    packer.text(path);
    Message answer = ask(SymbolMessage::open, packer);
    std::string why = Unpacker(answer.body).text();
    if (!why.empty()) return fail(std::move(why));
    return answer.fds.empty() ? UniqueFd() : std::move(answer.fds.front());
  }

  Debuginfod::Answer fetch(const std::string& build_id) const {
    Packer packer;
    packer.text(build_id);
    Message message = ask(SymbolMessage::fetch, packer);
    Unpacker body(message.body);
    Debuginfod::Answer answer;
    answer.state = static_cast<Debuginfod::State>(body.number());
    answer.why = body.text();
    if (!message.fds.empty()) answer.fd = std::move(message.fds.front());
    return answer;
  }

  void add_module(Unpacker& body, std::vector<UniqueFd> fds) {
    ModuleFile file;
    file.id.value = static_cast<std::uint32_t>(body.number());
    file.path = body.text();
    file.build_id = body.text();
    const std::string root = body.text();
    const bool has_file = body.number() != 0;
    const bool has_root = body.number() != 0;
    std::size_t next = 0;
    if (has_file && next < fds.size()) file.fd = std::move(fds[next++]);
    if (has_root)
      file.root = ForeignRoot::from(next < fds.size() ? std::move(fds[next]) : UniqueFd(), root);
    if (body.number() != 0) {
      symbolizer_.fetch_through([this](const std::string& build_id) { return fetch(build_id); });
    }
    symbolizer_.add_module(std::move(file));
  }

  void look_up(Unpacker& body) {
    const model::ModuleId module{static_cast<std::uint32_t>(body.number())};
    const auto frames = symbolizer_.look_up(module, body.number());
    Packer packer;
    pack(packer, frames);
    Packer losses;
    pack(losses, symbolizer_.losses_of(module));
    const bool news = std::exchange(told_[module.value], losses.bytes()) != losses.bytes();
    packer.number(news ? 1 : 0);
    if (news) packer.append(losses);
    (void)send(socket_, SymbolMessage::frames, packer);
  }

  int socket_;
  LocalSymbolizer symbolizer_;
  std::map<std::uint32_t, std::string> told_;  ///< losses of a module, packed
};

}  // namespace

void serve_symbols(int socket) {
  SymbolServer(socket).serve();
}

}  // namespace leaktrace::symbolize
