/* SPDX-License-Identifier: Apache-2.0 */
/* A function whose unwind information changes at each of its instructions, more often than in any
 * program; and an ordinary one behind it. */
__asm__(
    ".text\n"
    ".globl many_rows\n"
    ".type many_rows, @function\n"
    "many_rows:\n"
    ".cfi_startproc\n"
    ".rept 40000\n"
    "nop\n"
    ".cfi_adjust_cfa_offset 8\n"
    ".endr\n"
    "ret\n"
    ".cfi_endproc\n"
    ".size many_rows, .-many_rows\n");

int ordinary(int x) {
  return x + 1;
}
