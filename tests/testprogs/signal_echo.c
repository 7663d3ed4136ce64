/* SPDX-License-Identifier: Apache-2.0 */
/* Says "got NUMBER" for every signal that it gets, and ends with status 5 at SIGTERM. */
#include "testprog.h"

int main(void) {
  static const int kHeard[] = {SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, SIGTERM};
  sigset_t set;
  sigemptyset(&set);
  for (size_t i = 0; i < sizeof kHeard / sizeof kHeard[0]; ++i) sigaddset(&set, kHeard[i]);
  sigprocmask(SIG_BLOCK, &set, NULL);
  say_pid("ready");
  for (;;) {
    int number = 0;
    if (sigwait(&set, &number) != 0) continue;
    char line[32];
    say(line, (size_t)snprintf(line, sizeof line, "got %d\n", number));
    if (number == SIGTERM) return 5;
  }
}
