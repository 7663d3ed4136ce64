/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of PostgreSQL that acquires and releases what libpq gives, one scenario a run:
 *
 *   pg_scenarios CONNINFO SCENARIO [COUNT] [--wait] [--linger]
 *   pg_scenarios --list
 *
 * With --wait it prints "ready PID" and begins at SIGUSR1. At its end it says what it holds (see
 * pg_client.h) and "done PID"; with --linger it stays, holding all of it, until SIGTERM.
 */
#include "scenarios.h"

static const struct scenario* const tables[] = {
    connection_scenarios, result_scenarios,       statement_scenarios, cursor_scenarios,
    cursor_end_scenarios, cursor_name_scenarios,  mode_scenarios,      pipeline_scenarios,
    buffer_scenarios,     large_object_scenarios, bad_input_scenarios};

unsigned long scenario_count;

static const struct scenario* find_scenario(const char* name) {
  for (size_t i = 0; i < sizeof tables / sizeof *tables; ++i) {
    for (const struct scenario* scenario = tables[i]; scenario->name != NULL; ++scenario) {
      if (name == NULL) {
        puts(scenario->name);
      } else if (strcmp(scenario->name, name) == 0) {
        return scenario;
      }
    }
  }
  return NULL;
}

int main(int argc, char** argv) {
  if (argc == 2 && strcmp(argv[1], "--list") == 0) {
    find_scenario(NULL);
    return 0;
  }
  const struct scenario* scenario = argc < 3 ? NULL : find_scenario(argv[2]);
  if (scenario == NULL) {
    fprintf(stderr, "pg_scenarios: no such scenario\n");
    return 2;
  }
  conninfo = argv[1];
  const struct testprog self = testprog_begin(argc - 2, argv + 2, 0);
  scenario_count = self.count;
  scenario->run();
  const int status = say_truth();
  say_pid("done");
  if (self.linger) await_signal(SIGTERM);
  return status;
}
