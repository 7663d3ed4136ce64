// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/site_trial_code.h"

#include <array>

// A function `lt_trial_NAME`, and the label `lt_probe_NAME` at the instruction that is tried.
#define LT_TRIAL(name, before, instruction, after)                                    \
  asm(".pushsection .text\n"                                                          \
      ".balign 16\n"                                                                  \
      ".globl lt_trial_" #name "\n.hidden lt_trial_" #name                            \
      "\n"                                                                            \
      ".globl lt_probe_" #name "\n.hidden lt_probe_" #name                            \
      "\n"                                                                            \
      ".type lt_trial_" #name                                                         \
      ", %function\n"                                                                 \
      "lt_trial_" #name ":\n" before "\nlt_probe_" #name ":\n" instruction "\n" after \
      "\n"                                                                            \
      ".size lt_trial_" #name ", . - lt_trial_" #name "\n.popsection");               \
  extern "C" void lt_trial_##name();                                                  \
  extern "C" const char lt_probe_##name

#if defined(__x86_64__)
LT_TRIAL(push, "", "push %rbx", "pop %rbx\nret");
LT_TRIAL(push_extended, "", "push %r12", "pop %r12\nret");
LT_TRIAL(nop, "", "nop", "ret");
LT_TRIAL(nop_long, "", ".byte 0x0f, 0x1f, 0x00", "ret");
LT_TRIAL(nop_five, "", ".byte 0x0f, 0x1f, 0x44, 0x00, 0x00", "ret");
LT_TRIAL(endbr, "", ".byte 0xf3, 0x0f, 0x1e, 0xfa", "ret");
LT_TRIAL(jump_short, "", ".byte 0xeb, 0x00", "ret");
LT_TRIAL(jump_near, "", ".byte 0xe9, 0, 0, 0, 0", "ret");
LT_TRIAL(branch_short, "test %rdi, %rdi", ".byte 0x74, 0x00", "ret");
LT_TRIAL(branch_near, "test %rdi, %rdi", ".byte 0x0f, 0x84, 0, 0, 0, 0", "ret");
LT_TRIAL(call, "", ".byte 0xe8, 0, 0, 0, 0", "lea 8(%rsp), %rsp\nret");
LT_TRIAL(ret, "", "ret", "");
LT_TRIAL(move_register, "", "mov %rdi, %rax", "ret");
LT_TRIAL(move_register_32, "", "mov %edi, %eax", "ret");
LT_TRIAL(move_immediate_32, "", "mov $1, %eax", "ret");
LT_TRIAL(test_register, "", "test %rdi, %rdi", "ret");
LT_TRIAL(test_register_32, "", "test %edi, %edi", "ret");
LT_TRIAL(xor_register_32, "", "xor %eax, %eax", "ret");
LT_TRIAL(load_address, "", "lea 8(%rdi), %rax", "ret");
LT_TRIAL(stack_short, "", "sub $8, %rsp", "add $8, %rsp\nret");
LT_TRIAL(stack_long, "", "sub $0x108, %rsp", "add $0x108, %rsp\nret");
#elif defined(__aarch64__)
LT_TRIAL(a64_branch, "", "b 1f", "1: ret");
LT_TRIAL(a64_branch_condition, "cmp x0, x0", "b.eq 1f", "1: ret");
LT_TRIAL(a64_branch_zero, "", "cbz x0, 1f", "1: ret");
LT_TRIAL(a64_branch_bit, "", "tbz x0, #0, 1f", "1: ret");
LT_TRIAL(a64_call, "mov x9, x30", "bl 1f", "1: ret x9");
LT_TRIAL(a64_ret, "", "ret", "");
LT_TRIAL(a64_address, "", "adr x9, .", "ret");
LT_TRIAL(a64_nop, "", "nop", "ret");
LT_TRIAL(a64_landing, "", "hint #34", "ret");
LT_TRIAL(a64_sign, "", "hint #25", "hint #29\nret");
LT_TRIAL(a64_push_frame, "", "stp x29, x30, [sp, #-16]!", "ldp x29, x30, [sp], #16\nret");
LT_TRIAL(a64_stack, "", "sub sp, sp, #16", "add sp, sp, #16\nret");
#endif

namespace leaktrace::tracer {

std::span<const TrialFunction> trial_functions() {
#define LT_TRIED(name)                                        \
  TrialFunction {                                             \
    InstructionClass::name, lt_trial_##name, &lt_probe_##name \
  }
#if defined(__x86_64__)
  static constexpr std::array kFunctions = {
      LT_TRIED(push),
      LT_TRIED(push_extended),
      LT_TRIED(nop),
      LT_TRIED(nop_long),
      LT_TRIED(nop_five),
      LT_TRIED(endbr),
      LT_TRIED(jump_short),
      LT_TRIED(jump_near),
      LT_TRIED(branch_short),
      LT_TRIED(branch_near),
      LT_TRIED(call),
      LT_TRIED(ret),
      LT_TRIED(move_register),
      LT_TRIED(move_register_32),
      LT_TRIED(move_immediate_32),
      LT_TRIED(test_register),
      LT_TRIED(test_register_32),
      LT_TRIED(xor_register_32),
      LT_TRIED(load_address),
      LT_TRIED(stack_short),
      LT_TRIED(stack_long),
  };
#elif defined(__aarch64__)
  static constexpr std::array kFunctions = {
      LT_TRIED(a64_branch),      LT_TRIED(a64_branch_condition),
      LT_TRIED(a64_branch_zero), LT_TRIED(a64_branch_bit),
      LT_TRIED(a64_call),        LT_TRIED(a64_ret),
      LT_TRIED(a64_address),     LT_TRIED(a64_nop),
      LT_TRIED(a64_landing),     LT_TRIED(a64_sign),
      LT_TRIED(a64_push_frame),  LT_TRIED(a64_stack),
  };
#endif
#undef LT_TRIED
  return kFunctions;
}

}  // namespace leaktrace::tracer
