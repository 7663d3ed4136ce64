/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Executes a command in a state that few programs start in: few descriptors, signals that are
 * ignored and blocked, an ambient capability.
 */
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static int raise_ambient(int capability) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
  if (syscall(SYS_capget, &header, sets) != 0) return -1;
  sets[0].inheritable |= 1U << capability;
  if (syscall(SYS_capset, &header, sets) != 0) return -1;
  return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
}

int main(int argc, char** argv) {
  const struct rlimit files = {256, 4096};
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  sigaddset(&blocked, SIGALRM);
  if (argc < 2 || setrlimit(RLIMIT_NOFILE, &files) != 0 ||
      sigprocmask(SIG_BLOCK, &blocked, NULL) != 0 || raise_ambient(CAP_NET_RAW) != 0) {
    perror("odd_state");
    return 1;
  }
  signal(SIGCHLD, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  signal(SIGUSR2, SIG_IGN);
  execvp(argv[1], argv + 1);
  perror("odd_state");
  return 1;
}
