/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scenarios of pg_scenarios, by subject. In each, functions acquire: what `keep_…` and
 * `leak_…` acquire is still held at the end, what `release_…` does is not, and `fail_…` never get
 * it. None is inlined, and each has its own place in the stack.
 */
#ifndef PG_SCENARIOS_H
#define PG_SCENARIOS_H

#include "../testprog.h"
#include "pg_client.h"

struct scenario {
  const char* name; /* NULL: the end of a table */
  void (*run)(void);
};

extern const struct scenario connection_scenarios[];
extern const struct scenario result_scenarios[];
extern const struct scenario statement_scenarios[];
extern const struct scenario cursor_scenarios[];
extern const struct scenario cursor_end_scenarios[];
extern const struct scenario cursor_name_scenarios[];
extern const struct scenario mode_scenarios[];
extern const struct scenario pipeline_scenarios[];
extern const struct scenario buffer_scenarios[];
extern const struct scenario large_object_scenarios[];
extern const struct scenario bad_input_scenarios[];

/* COUNT of the command line; 0: none was given. */
extern unsigned long scenario_count;

/* A socket folder in which no server listens. */
#define NOWHERE "host=/nonexistent/leaktrace user=nobody dbname=nothing"

#endif
