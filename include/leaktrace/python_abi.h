/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * CPython's frames, from 3.11 to 3.13: where the interpreter keeps them, and what is sent of them.
 *
 *   interpreters ─▶ interpreter ─▶ thread ─▶ thread … (next)
 *                                    │ the one whose thread_id is the running thread's
 *                                    ▼
 *                 frame ─▶ frame ─▶ … (previous), innermost first
 *                   │ code, instruction
 *                   ▼
 *                 code object: names and the table of lines
 *
 * Sources: Include/internal/pycore_frame.h, pycore_interp.h, pycore_runtime.h and
 * Include/cpython/{code,pystate}.h of each release; from 3.13 on _Py_DebugOffsets says it.
 */
#ifndef LEAKTRACE_PYTHON_ABI_H
#define LEAKTRACE_PYTHON_ABI_H

#include "leaktrace/abi.h"

/* Innermost Python frames of a stack. A power of two. */
#define LT_PYTHON_MAX_FRAMES 64

/* What is read of one frame at once; all offsets into a frame lie below. */
#define LT_PYTHON_FRAME_BYTES 128

/* How a frame says that C code entered the interpreter at it. */
enum lt_python_entry {
  LT_PYTHON_ENTRY_FLAG = 1, /* 3.11: a flag of the frame itself */
  LT_PYTHON_ENTRY_SHIM = 2, /* 3.12 on: a frame that is no Python function stands behind it */
};

/* The shim's `owner` (FRAME_OWNED_BY_CSTACK). */
#define LT_PYTHON_OWNED_BY_C_STACK 3

/* Addresses are the process's own; the others are byte offsets. */
struct lt_python {
  __u64 interpreters; /* address of the head of the list of interpreters */
  __u64 eval_start;   /* _PyEval_EvalFrameDefault */
  __u64 eval_end;
  __u16 interpreter_next;
  __u16 interpreter_threads;
  __u16 thread_next;
  __u16 thread_id; /* pthread_self() */
  __u16 thread_frame;
  __u16 cframe_frame; /* in what thread_frame points to; LT_PYTHON_NO_CFRAME: that is the frame */
  __u16 frame_code;
  __u16 frame_previous;
  __u16 frame_instruction;
  __u16 frame_entry; /* the flag's, or the owner's */
  __u16 entry;       /* enum lt_python_entry */
  __u16 code_file;
  __u16 code_name;
  __u16 code_lines;
  __u16 code_first_line;
  __u16 code_instructions;
};
LT_ASSERT_SIZE(struct lt_python, 56);

#define LT_PYTHON_NO_CFRAME 0xffff

/*
 * A Python frame in a stack: two words after the addresses of the native ones.
 *
 *   the code object     its address; above it 16 bits of what it holds, because the memory of code
 *                       that is gone (a module's, once it is imported) is soon another's; and
 *                       LT_PYTHON_ENTERED when C called the interpreter here, so that the native
 *                       frame that evaluates it is known
 *   the instruction     its address
 */
#define LT_PYTHON_FRAME_WORDS 2
#define LT_PYTHON_ENTERED 1ULL
#define LT_PYTHON_CODE_ADDRESS(word) ((word)&0xffffffffffffULL & ~7ULL)

/* What of a code object tells it from another at its address: the words from its first line on,
 * which are its sizes, file and name. None of them changes. */
#define LT_PYTHON_CODE_WORDS 9

/* Copies of the objects that a code object's names and lines are: raw, as they lie in memory. A
 * string may be cut; 0 bytes: it could not be read. */
#define LT_PYTHON_STRING_BYTES 512
#define LT_PYTHON_SHORT_LINES 1024 /* most functions' */
#define LT_PYTHON_LONG_LINES 8192  /* of longer ones only the function is told */
#define LT_PYTHON_CHUNK 64

struct lt_python_string {
  __u32 bytes;
  __u8 object[LT_PYTHON_STRING_BYTES];
};

/* Sent once for each code object that is seen in a stack, before the first stack with it. */
struct lt_event_python_code {
  struct lt_event_header header;
  __u64 code; /* as in a frame, without LT_PYTHON_ENTERED */
  __s32 first_line;
  struct lt_python_string file;
  struct lt_python_string name;
  __u32 line_bytes; /* read of the table of lines (a bytes object) */
  __u8 lines[];
};
LT_ASSERT_SIZE(struct lt_event_python_code, 24 + 8 + 4 + 2 * 516 + 4);

#endif /* LEAKTRACE_PYTHON_ABI_H */
