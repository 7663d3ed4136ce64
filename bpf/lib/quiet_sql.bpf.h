/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Which commands are quiet: open and close nothing at the server. What is not sure to be is not. */
#ifndef LEAKTRACE_QUIET_SQL_BPF_H
#define LEAKTRACE_QUIET_SQL_BPF_H

#include "bpf/lib/common.bpf.h"
#include "leaktrace/pg_abi.h"

#define LT_LETTERS(a, b, c, d, e, f, g, h)                                                 \
  ((__u64)(a) | (__u64)(b) << 8 | (__u64)(c) << 16 | (__u64)(d) << 24 | (__u64)(e) << 32 | \
   (__u64)(f) << 40 | (__u64)(g) << 48 | (__u64)(h) << 56)
#define LT_WORD4 0xffffffffULL
#define LT_WORD5 0xffffffffffULL
#define LT_WORD6 0xffffffffffffULL

/* Is a statement that begins so quiet? Each of these reads or changes data and nothing else. */
static __always_inline int begins_quietly(__u64 letters) {
  letters |= 0x2020202020202020ULL; /* lower case */
  switch (letters & LT_WORD6) {
    case LT_LETTERS('s', 'e', 'l', 'e', 'c', 't', 0, 0):
    case LT_LETTERS('i', 'n', 's', 'e', 'r', 't', 0, 0):
    case LT_LETTERS('u', 'p', 'd', 'a', 't', 'e', 0, 0):
    case LT_LETTERS('d', 'e', 'l', 'e', 't', 'e', 0, 0):
    case LT_LETTERS('v', 'a', 'l', 'u', 'e', 's', 0, 0):
    case LT_LETTERS('u', 'p', 's', 'e', 'r', 't', 0, 0):
      return 1;
  }
  switch (letters & LT_WORD5) {
    case LT_LETTERS('f', 'e', 't', 'c', 'h', 0, 0, 0):
    case LT_LETTERS('m', 'e', 'r', 'g', 'e', 0, 0, 0):
    case LT_LETTERS('w', 'i', 't', 'h', ' ', 0, 0, 0):
    case LT_LETTERS('t', 'a', 'b', 'l', 'e', 0, 0, 0):
    case LT_LETTERS('s', 'h', 'o', 'w', ' ', 0, 0, 0):
      return 1;
  }
  return 0;
}

/*
 * Is SQL of `bytes` (with the final 0) quiet? It must be whole, begin so, and have no ';' within:
 * of several statements each counts. A ';' at the end is taken off. Eight bytes at a time: a byte
 * that is 0 after the exclusive or is the one looked for (Warren, Hacker's Delight, 6-1).
 */
__weak __noinline int is_quiet_sql(struct lt_pg_session* session, __u32 bytes) {
  if (!session || bytes < 8 || bytes >= LT_PG_HEAD_BYTES) return 0;
  __u64* words = (void*)session->head;
  if (!begins_quietly(words[0])) return 0;
  __u32 last = (bytes - 2) & (LT_PG_HEAD_BYTES - 1);
  if (session->head[last] == ';') session->head[last] = 0;
  for (__u32 i = 0; i < LT_PG_HEAD_BYTES / 8; i++) {
    if (i * 8 >= bytes) break;
    __u64 word = words[i] ^ 0x3b3b3b3b3b3b3b3bULL;
    __u64 found = (word - 0x0101010101010101ULL) & ~word & 0x8080808080808080ULL;
    if (!found) continue;
    /* What stands behind the text's end is of an older one. */
    __u32 rest = bytes - i * 8;
    if (rest >= 8 || (found & ((1ULL << (rest * 8)) - 1))) return 0;
  }
  return 1;
}

/* Does a command tag say that something was opened or closed? Of commands that were taken for quiet
 * because what they execute was prepared unseen. */
static __always_inline int is_loud_tag(__u64 letters) {
  switch (letters) {
    case LT_LETTERS('D', 'E', 'C', 'L', 'A', 'R', 'E', ' '):
    case LT_LETTERS('C', 'L', 'O', 'S', 'E', ' ', 'C', 'U'):
    case LT_LETTERS('D', 'E', 'A', 'L', 'L', 'O', 'C', 'A'):
    case LT_LETTERS('D', 'I', 'S', 'C', 'A', 'R', 'D', ' '):
    case LT_LETTERS('R', 'O', 'L', 'L', 'B', 'A', 'C', 'K'):
    case LT_LETTERS('S', 'A', 'V', 'E', 'P', 'O', 'I', 'N'):
    case LT_LETTERS('S', 'T', 'A', 'R', 'T', ' ', 'T', 'R'):
    case LT_LETTERS('P', 'R', 'E', 'P', 'A', 'R', 'E', 0):
    case LT_LETTERS('P', 'R', 'E', 'P', 'A', 'R', 'E', ' '):
    case LT_LETTERS('R', 'E', 'L', 'E', 'A', 'S', 'E', 0):
      return 1;
  }
  letters &= LT_WORD6;
  return letters == LT_LETTERS('C', 'O', 'M', 'M', 'I', 'T', 0, 0) ||
         letters == LT_LETTERS('B', 'E', 'G', 'I', 'N', 0, 0, 0);
}

#endif
