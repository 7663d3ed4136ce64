/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What every BPF program of leaktrace includes first. */
#ifndef LEAKTRACE_COMMON_BPF_H
#define LEAKTRACE_COMMON_BPF_H

#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "leaktrace/abi.h"

#ifndef EEXIST
#define EEXIST 17
#endif
#ifndef E2BIG
#define E2BIG 7
#endif
#ifndef ENOMEM
#define ENOMEM 12
#endif

/* The result of bpf_map_update_elem and the like is compared as an int: before 6.4 (d7ba4cc900bf
 * "bpf: return long from bpf_map_ops funcs") an error comes without its upper 32 bits. */

/* Keeps the compiler from reasoning about a value, so that the bound the verifier needs stays. */
#define lt_opaque(value) asm volatile("" : "+r"(value))

#endif
