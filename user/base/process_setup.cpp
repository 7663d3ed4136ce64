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

std::array<Inherited, 2> inherited{{{SIGPIPE, {}}, {SIGXFSZ, {}}}};
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
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  for (Inherited& one : inherited) ::sigaction(one.signal, &ignore, &one.action);
  known = true;
}

void restore_inherited_signals() {
  if (!known) return;
  for (const Inherited& one : inherited) ::sigaction(one.signal, &one.action, nullptr);
}

}  // namespace leaktrace
