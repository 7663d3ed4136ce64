/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts a program again and again and kills it as soon as it has been executed: in most cases
 * before its first instruction. Its parent waits for stops too, as a shell with job control does,
 * and says how many it saw.
 */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

extern char** environ;

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? atoi(argv[1]) : 50;
  const int kills = argc > 2 ? atoi(argv[2]) : 1;
  char name[] = "true";
  char* arguments[] = {name, NULL};
  int stops = 0;
  for (int i = 0; i < rounds; ++i) {
    pid_t child = 0;
    errno = posix_spawnp(&child, name, NULL, NULL, arguments, environ);
    if (errno != 0) {
      perror("posix_spawnp");
      return 1;
    }
    if (kills) kill(child, SIGKILL);
    int status = 0;
    while (waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status)) ++stops;
  }
  printf("stops %d\n", stops);
  return 0;
}
