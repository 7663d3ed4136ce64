// SPDX-License-Identifier: Apache-2.0
#include "user/base/process_setup.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <array>

namespace leaktrace {
namespace {

struct Inherited {
  int signal;
  struct sigaction action;
};

std::array<Inherited, 3> inherited{{{SIGPIPE, {}}, {SIGXFSZ, {}}, {SIGCHLD, {}}}};
sigset_t inherited_mask;
bool known = false;

void open_standard_streams() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) continue;
    // The lowest number that is free, which is this one. A root without /dev has a folder at least.
    if (::open("/dev/null", O_RDWR | O_CLOEXEC) < 0) {
      (void)::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
  }
}

}  // namespace

void set_up_process() {
  open_standard_streams();
  ::sigprocmask(SIG_SETMASK, nullptr, &inherited_mask);
  for (Inherited& one : inherited) {
    struct sigaction action {};
    // Of a child that ends while SIGCHLD is ignored the kernel tells nothing.
    action.sa_handler = one.signal == SIGCHLD ? SIG_DFL : SIG_IGN;
    ::sigaction(one.signal, &action, &one.action);
  }
  known = true;
}

void restore_inherited_signals() {
  if (!known) return;
  for (const Inherited& one : inherited) ::sigaction(one.signal, &one.action, nullptr);
  // Last: what is blocked until now and waits is then taken as the command would have taken it.
  ::sigprocmask(SIG_SETMASK, &inherited_mask, nullptr);
}

}  // namespace leaktrace
