/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* What the programs of site_counter.bpf.c share with the test. */
#pragma once

#ifndef __bpf__
#include <linux/types.h>
#endif

#define SITE_COUNTER_PROBES 256 /* a power of two */

struct site_hits {
  __u64 count;
  __u64 argument[4];
  __u64 stack_pointer; /* as it was when the function was entered */
};
