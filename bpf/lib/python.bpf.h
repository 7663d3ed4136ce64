/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The Python frames of the current thread (include/leaktrace/python_abi.h), appended to the native
 * ones: they are part of a stack's identity then, so that two lines of a script that leak are two
 * call sites.
 *
 *   walk_python ─▶ does the native stack evaluate Python? the thread's state? its frames
 *   send_python_codes ─▶ for a new stack: what names the code objects that it has
 */
#ifndef LEAKTRACE_PYTHON_BPF_H
#define LEAKTRACE_PYTHON_BPF_H

#include "bpf/lib/common.bpf.h"
#include "bpf/lib/events.bpf.h"
#include "bpf/lib/threads.bpf.h"
#include "leaktrace/python_abi.h"

/* To find the running thread's state: so many searches, one an interpreter or more, of so many
 * steps each. */
#define LT_PYTHON_SEARCHES 64
#define LT_PYTHON_SEARCH_STEPS 32

/* By image: a process that runs Python; written by user space. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 16384);
  __type(key, __u32);
  __type(value, struct lt_python);
} pythons SEC(".maps") __weak;

struct lt_python_code_key {
  __u64 code;
  __u32 image;
  __u32 reserved;
};

/* Code objects that user space has been told of. The least recently used are forgotten, and told
 * of again. */
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 16384);
  __type(key, struct lt_python_code_key);
  __type(value, __u8);
} python_codes SEC(".maps") __weak;

static __always_inline __u64 read_word(__u64 address) {
  __u64 word = 0;
  bpf_probe_read_user(&word, sizeof(word), (void*)address);
  return word;
}

/* pthread_self() of the running thread: its thread pointer (x86-64 psABI, section 3.4.2; glibc and
 * musl keep the thread's descriptor there). */
static __always_inline __u64 current_pthread(void) {
#if defined(__TARGET_ARCH_x86)
  return BPF_CORE_READ((struct task_struct*)bpf_get_current_task_btf(), thread.fsbase);
#else
  return 0;
#endif
}

/* Is one of the native frames the interpreter's evaluation of Python code? */
__weak __noinline int evaluates_python(struct lt_thread* thread, __u64 start, __u64 size) {
  if (!thread) return 0;
  __u32 n = thread->native_frames;
  for (__u32 i = 0; i < LT_MAX_FRAMES; i++) {
    if (i >= n) break;
    if (thread->frames[i] - 1 - start < size) return 1;
  }
  return 0;
}

/*
 * Goes through the states of threads from `state` on: ends at that of the thread `self`, at the end
 * of the list (0), or after some steps. The steps have a function of their own because the verifier
 * looks at a global function once, not at each step of the loop that calls it.
 */
__weak __noinline __u64 search_python_states(const struct lt_python* python, __u64 state,
                                             __u64 self) {
  if (!python) return 0;
  for (int i = 0; i < LT_PYTHON_SEARCH_STEPS && state; i++) {
    if (read_word(state + python->thread_id) == self) return state;
    state = read_word(state + python->thread_next);
  }
  return state;
}

/*
 * Is the state that was found before still the thread's? The memory of one that was freed keeps the
 * thread's id for a while, but the list does not lead to it (CPython links states both ways, `prev`
 * right before `next`).
 */
static __always_inline int has_python_state(const struct lt_thread* thread,
                                            const struct lt_python* python, __u64 self) {
  __u64 state = thread->python_state;
  if (!state || read_word(state + python->thread_id) != self) return 0;
  __u64 previous = read_word(state + python->thread_next - 8);
  return read_word(previous ? previous + python->thread_next : thread->python_states) == state;
}

/* Finds the interpreter's state of the running thread: thread->python_state. */
__weak __noinline int find_python_state(struct lt_thread* thread, const struct lt_python* python) {
  if (!thread || !python) return 0;
  __u64 self = current_pthread();
  if (!self) return 0;
  if (has_python_state(thread, python, self)) return 1;
  __u64 interpreter = read_word(python->interpreters);
  __u64 state = interpreter ? read_word(interpreter + python->interpreter_threads) : 0;
  for (int i = 0; i < LT_PYTHON_SEARCHES && interpreter; i++) {
    state = search_python_states(python, state, self);
    if (!state) {
      interpreter = read_word(interpreter + python->interpreter_next);
      if (interpreter) state = read_word(interpreter + python->interpreter_threads);
    } else if (read_word(state + python->thread_id) == self) {
      thread->python_state = state;
      thread->python_states = interpreter + python->interpreter_threads;
      return 1;
    }
  }
  return 0;
}

static __always_inline __u64 frame_word(const struct lt_thread* thread, __u32 offset) {
  return thread->python_frame[(offset / 8) & (LT_PYTHON_FRAME_BYTES / 8 - 1)];
}

static __always_inline __u8 frame_byte(const struct lt_thread* thread, __u32 offset) {
  return ((const __u8*)thread->python_frame)[offset & (LT_PYTHON_FRAME_BYTES - 1)];
}

/* Marks the frame noted last, if there is one, as the one at which C entered the interpreter. */
static __always_inline void mark_entered(struct lt_thread* thread, __u32 words) {
  if (words <= thread->native_frames) return;
  thread->frames[(words - LT_PYTHON_FRAME_WORDS) & (LT_STACK_WORDS - 1)] |= LT_PYTHON_ENTERED;
}

/* The code object's word in a stack (python_abi.h). */
static __always_inline __u64 code_word(struct lt_thread* thread, const struct lt_python* python,
                                       __u64 code) {
  __u64 from = code + (python->code_first_line & ~7), tag = 0;
  if (bpf_probe_read_user(thread->python_code, sizeof(thread->python_code), (void*)from))
    return code;
  for (int i = 0; i < LT_PYTHON_CODE_WORDS; i++)
    tag = (tag + thread->python_code[i]) * 0x9e3779b97f4a7c15ULL;
  return code | (tag >> 48 << 48);
}

/* Notes the frame at `frame` after `words` words, and leaves it in thread->python_frame. Returns
 * the number of words then; 0 when it cannot be read. */
__weak __noinline __u32 note_python_frame(struct lt_thread* thread, const struct lt_python* python,
                                          __u64 frame, __u32 words) {
  if (!thread || !python) return 0;
  if (bpf_probe_read_user(thread->python_frame, sizeof(thread->python_frame), (void*)frame)) {
    lose(LT_LOSS_READ_FAULT);
    return 0;
  }
  __u8 entry = frame_byte(thread, python->frame_entry);
  if (python->entry == LT_PYTHON_ENTRY_SHIM && entry == LT_PYTHON_OWNED_BY_C_STACK) {
    mark_entered(thread, words);
    return words;
  }
  __u64 code = frame_word(thread, python->frame_code) & ~7ULL;
  thread->frames[words & (LT_STACK_WORDS - 1)] = code_word(thread, python, code);
  thread->frames[(words + 1) & (LT_STACK_WORDS - 1)] =
      frame_word(thread, python->frame_instruction);
  words += LT_PYTHON_FRAME_WORDS;
  if (python->entry == LT_PYTHON_ENTRY_FLAG && entry) mark_entered(thread, words);
  return words;
}

/* Notes the frames from `frame` outwards; returns the number of words of the whole stack. */
__weak __noinline __u32 note_python_frames(struct lt_thread* thread, const struct lt_python* python,
                                           __u64 frame) {
  if (!thread || !python) return 0;
  __u32 words = thread->native_frames;
  for (int i = 0; i < LT_PYTHON_MAX_FRAMES && frame; i++) {
    __u32 noted = note_python_frame(thread, python, frame, words);
    if (!noted) return words;
    words = noted;
    frame = frame_word(thread, python->frame_previous);
  }
  if (frame && thread->reason == LT_STACK_COMPLETE) thread->reason = LT_STACK_DEPTH;
  return words;
}

/* After the native frames are in thread->frames: appends the Python ones. Returns the number of
 * words then; the native frames alone when the process runs no Python there. */
__weak __noinline __u32 walk_python(struct lt_thread* thread, __u32 image) {
  if (!thread) return 0;
  __u32 native = thread->native_frames;
  const struct lt_python* python = bpf_map_lookup_elem(&pythons, &image);
  if (!python) return native;
  if (!evaluates_python(thread, python->eval_start, python->eval_end - python->eval_start))
    return native;
  if (!find_python_state(thread, python)) return native;
  __u64 frame = read_word(thread->python_state + python->thread_frame);
  if (frame && python->cframe_frame != LT_PYTHON_NO_CFRAME)
    frame = read_word(frame + python->cframe_frame);
  return note_python_frames(thread, python, frame);
}

/* ---- What names them ------------------------------------------------------------------------ */

/* Copies a string object; its end is not known here, so by chunks as far as memory goes. */
static __always_inline void copy_string(struct lt_python_string* to, __u64 object) {
  to->bytes = 0;
  for (__u32 at = 0; at < LT_PYTHON_STRING_BYTES; at += LT_PYTHON_CHUNK) {
    if (bpf_probe_read_user(to->object + at, LT_PYTHON_CHUNK, (void*)(object + at))) return;
    to->bytes = at + LT_PYTHON_CHUNK;
  }
}

/* A forked child runs the same interpreter at the same addresses. */
static __always_inline void inherit_python(__u32 parent_image, __u32 child_image) {
  const struct lt_python* python = bpf_map_lookup_elem(&pythons, &parent_image);
  if (!python) return;
  int error = bpf_map_update_elem(&pythons, &child_image, python, BPF_ANY);
  if (error) lose_insertion(error, LT_LOSS_PROCESS_TABLE_FULL);
}

/* `lines`: a bytes object of `size` bytes; its content begins with the fifth word
 * (Include/cpython/bytesobject.h). `capacity` is a constant, as the ring wants it. */
static __always_inline int send_code_event(const struct lt_python* python, __u64 code, __u32 image,
                                           __u64 lines, __u64 size, const __u32 capacity) {
  struct lt_event_python_code* event = bpf_ringbuf_reserve(&events, sizeof(*event) + capacity, 0);
  if (!event) {
    lose(LT_LOSS_RING_OVERFLOW);
    return -1;
  }
  __u64 object = LT_PYTHON_CODE_ADDRESS(code);
  fill_header(&event->header, LT_EVENT_PYTHON_CODE, image);
  event->code = code;
  event->first_line = 0;
  bpf_probe_read_user(&event->first_line, sizeof(event->first_line),
                      (void*)(object + python->code_first_line));
  copy_string(&event->file, read_word(object + python->code_file));
  copy_string(&event->name, read_word(object + python->code_name));
  event->line_bytes = 0;
  lt_opaque(size);
  if (size <= capacity && !bpf_probe_read_user(event->lines, size, (void*)(lines + 32)))
    event->line_bytes = size;
  bpf_ringbuf_submit(event, 0);
  return 0;
}

/* Returns 0 when user space knows the code object. */
__weak __noinline int send_python_code(const struct lt_python* python, __u64 code, __u32 image) {
  if (!python) return -1;
  __u64 lines = read_word(LT_PYTHON_CODE_ADDRESS(code) + python->code_lines);
  __u64 size = read_word(lines + 16); /* ob_size */
  if (size <= LT_PYTHON_SHORT_LINES)
    return send_code_event(python, code, image, lines, size, LT_PYTHON_SHORT_LINES);
  return send_code_event(python, code, image, lines, size, LT_PYTHON_LONG_LINES);
}

/* Sends what names the code objects of a new stack of `words` words. */
__weak __noinline int send_python_codes(struct lt_thread* thread, __u32 words, __u32 image) {
  if (!thread) return 0;
  __u32 first = thread->native_frames;
  if (words <= first) return 0;
  const struct lt_python* python = bpf_map_lookup_elem(&pythons, &image);
  if (!python) return 0;
  for (__u32 i = 0; i < LT_PYTHON_MAX_FRAMES; i++) {
    __u32 at = first + i * LT_PYTHON_FRAME_WORDS;
    if (at >= words) break;
    struct lt_python_code_key key = {
        .code = thread->frames[at & (LT_STACK_WORDS - 1)] & ~LT_PYTHON_ENTERED, .image = image};
    __u8 known = 1;
    if (!key.code || bpf_map_lookup_elem(&python_codes, &key)) continue;
    if (!send_python_code(python, key.code, image))
      bpf_map_update_elem(&python_codes, &key, &known, BPF_ANY);
  }
  return 0;
}

#endif
