/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the command that it is given under Landlock, which keeps even root from looking into
 * processes that are not. 3: this kernel has no Landlock. */
#include <linux/landlock.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char** argv) {
  const struct landlock_ruleset_attr rules = {.handled_access_fs = LANDLOCK_ACCESS_FS_MAKE_SOCK};
  if (argc < 2) return 2;
  const long fd = syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules), 0);
  if (fd < 0 || syscall(SYS_landlock_restrict_self, fd, 0) != 0) return 3;
  close((int)fd);
  execvp(argv[1], argv + 1);
  perror(argv[1]);
  return 1;
}
