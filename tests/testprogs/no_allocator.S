/* SPDX-License-Identifier: Apache-2.0 */
/* A program without libc and without an allocator (-nostdlib -static): says "ready", waits, ends. */
#include <sys/syscall.h>

        .globl  _start
        .text
        .type   _start, @function
_start:
        mov     $SYS_write, %eax
        mov     $1, %edi
        lea     message(%rip), %rsi
        mov     $(message_end - message), %edx
        syscall
        mov     $SYS_alarm, %eax        /* should nobody end it */
        mov     $300, %edi
        syscall
        mov     $SYS_pause, %eax
        syscall
        mov     $SYS_exit_group, %eax
        xor     %edi, %edi
        syscall
        .size   _start, . - _start

        .section .rodata
message:
        .ascii  "ready\n"
message_end:

        .section .note.GNU-stack, "", @progbits
