// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/link_keeper.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <new>
#include <utility>

#include "user/base/file.h"
#include "user/tracer/kept_links.h"

namespace leaktrace::tracer {
namespace {

std::atomic<LinkKeeper*> own_keeper = nullptr;

constexpr const char* kGone = "the process that keeps leaktrace's probes has ended";

}  // namespace

void LinkKeeper::Unmapped::operator()(KeeperState* state) const {
  ::munmap(state, sizeof(KeeperState));
}

Result<std::unique_ptr<LinkKeeper>> LinkKeeper::create(bool precedence) {
  void* memory = ::mmap(nullptr, sizeof(KeeperState), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return fail(describe_errno("cannot share memory", errno));
  SharedState state(new (memory) KeeperState);
  auto requests = make_socket_pair();
  if (!requests) return requests.unexpected();
  auto orders = make_socket_pair();
  if (!orders) return orders.unexpected();
  const pid_t keeper = ::fork();
  if (keeper < 0) return fail(describe_errno("cannot start a process", errno));
  if (keeper == 0) {
    requests->here.reset();
    orders->here.reset();
    keep_links(std::move(requests->there), std::move(orders->there), *state, precedence);
  }
  std::unique_ptr<LinkKeeper> made(
      new LinkKeeper(keeper, std::move(state), std::move(requests->here), std::move(orders->here)));
  own_keeper = made.get();
  return made;
}

LinkKeeper* LinkKeeper::current() {
  return own_keeper;
}

LinkKeeper::~LinkKeeper() {
  LinkKeeper* self = this;
  own_keeper.compare_exchange_strong(self, nullptr);
  requests_.reset();
  orders_.reset();
  while (::waitpid(keeper_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

Result<Message> LinkKeeper::ask(KeeperRequest request, std::string_view body,
                                std::span<const int> fds) {
  const std::scoped_lock lock(asking_);
  const auto type = static_cast<std::uint32_t>(request);
  if (!send_message(requests_.get(), type, body, fds)) return fail(kGone);
  auto answer = receive_message(requests_.get());
  if (!answer || !*answer || (*answer)->type != type) return fail(kGone);
  return std::move(**answer);
}

Result<void> LinkKeeper::set_up(const LinkSetUp& handles) {
  Packer packer;
  packer.number(handles.variables_bytes);
  packer.number(handles.closing_at);
  packer.number(handles.window_from_at);
  packer.number(static_cast<std::uint64_t>(handles.kind));
  const std::array fds = {handles.variables_fd, handles.program_fd};
  auto answer = ask(KeeperRequest::set_up, packer.bytes(), fds);
  if (!answer) return answer.unexpected();
  const auto error = static_cast<int>(Unpacker(answer->body).number());
  if (error != 0) return fail(describe_errno("cannot share the programs' variables", error));
  return {};
}

LinkKeeper::Attached LinkKeeper::attach(const LinkRequest& request) {
  Packer packer;
  packer.number(static_cast<std::uint64_t>(request.kind));
  packer.number(request.on_return ? 1 : 0);
  packer.number(static_cast<std::uint64_t>(request.pid));
  packer.number(request.costly ? 1 : 0);
  packer.number(request.offsets.size());
  for (std::size_t i = 0; i < request.offsets.size(); ++i) {
    packer.number(request.offsets[i]);
    packer.number(request.cookies[i]);
  }
  const std::array fds = {request.program_fd, request.file_fd};
  auto answer = ask(KeeperRequest::attach, packer.bytes(), fds);
  if (!answer) return {.error = EPIPE, .link = {}};
  Unpacker unpacker(answer->body);
  const auto error = static_cast<int>(unpacker.number());
  const std::uint64_t id = unpacker.number();
  return {.error = error, .link = id == 0 ? Link() : Link(*this, id)};
}

void LinkKeeper::detach(const std::vector<std::uint64_t>& ids, bool wait) {
  if (ids.empty()) return;
  Packer packer;
  packer.number(ids.size());
  for (const std::uint64_t id : ids) packer.number(id);
  if (wait) {
    (void)ask(KeeperRequest::detach, packer.bytes());  // where it has ended, they are gone
    return;
  }
  const std::scoped_lock lock(asking_);
  (void)send_message(requests_.get(), static_cast<std::uint32_t>(KeeperRequest::detach_soon),
                     packer.bytes());
}

std::optional<std::uint64_t> LinkKeeper::open_window() {
  auto answer = ask(KeeperRequest::open_window, {});
  if (!answer) return std::nullopt;
  const std::uint64_t from_ns = Unpacker(answer->body).number();
  return from_ns == 0 ? std::nullopt : std::optional(from_ns);
}

void LinkKeeper::end_windows() {
  (void)ask(KeeperRequest::end_windows, {});
}

void LinkKeeper::order(KeeperOrder order) {
  // As a message without a body. A keeper that does not read has orders enough.
  const std::array<std::uint32_t, 2> header = {static_cast<std::uint32_t>(order), 0};
  (void)::send(orders_.get(), header.data(), sizeof(header), MSG_DONTWAIT | MSG_NOSIGNAL);
}

bool LinkKeeper::take_changes() {
  std::array<char, 256> messages{};
  for (;;) {
    const ssize_t got = ::recv(orders_.get(), messages.data(), messages.size(), MSG_DONTWAIT);
    if (got > 0) continue;
    return got < 0 && (errno == EAGAIN || errno == EINTR);
  }
}

}  // namespace leaktrace::tracer
