// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/hazard_code.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#include <array>
#include <cstddef>
#include <exception>
#include <iterator>
#include <optional>

// A function that calls the body and returns what it does, by one instruction whose place is known.
#if defined(__x86_64__)
#define LT_HAZARD_CODE         \
  "sub $8, %rsp\n"             \
  ".cfi_adjust_cfa_offset 8\n" \
  "mov %rdi, %rax\n"           \
  "mov %rsi, %rdi\n"           \
  "call *%rax\n"               \
  "add $8, %rsp\n"             \
  ".cfi_adjust_cfa_offset -8\n"
#elif defined(__aarch64__)
#define LT_HAZARD_CODE          \
  "stp x29, x30, [sp, #-16]!\n" \
  ".cfi_def_cfa_offset 16\n"    \
  ".cfi_offset x29, -16\n"      \
  ".cfi_offset x30, -8\n"       \
  "mov x9, x0\n"                \
  "mov x0, x1\n"                \
  "blr x9\n"                    \
  "ldp x29, x30, [sp], #16\n"   \
  ".cfi_restore x29\n"          \
  ".cfi_restore x30\n"          \
  ".cfi_def_cfa_offset 0\n"
#endif
#define LT_HAZARD_FUNCTION(name)                                                              \
  asm(".pushsection .text\n"                                                                  \
      ".balign 16\n"                                                                          \
      ".globl lt_hazard_" #name "\n.hidden lt_hazard_" #name                                  \
      "\n"                                                                                    \
      ".globl lt_hazard_" #name "_return\n.hidden lt_hazard_" #name                           \
      "_return\n"                                                                             \
      ".type lt_hazard_" #name                                                                \
      ", %function\n"                                                                         \
      "lt_hazard_" #name                                                                      \
      ":\n"                                                                                   \
      ".cfi_startproc\n" LT_HAZARD_CODE "lt_hazard_" #name                                    \
      "_return: ret\n"                                                                        \
      ".cfi_endproc\n"                                                                        \
      ".size lt_hazard_" #name ", . - lt_hazard_" #name "\n.popsection");                     \
  extern "C" std::uint64_t lt_hazard_##name(std::uint64_t (*)(std::uint64_t), std::uint64_t); \
  extern "C" const char lt_hazard_##name##_return

// One for each kind of probe: they must not be on the same function.
LT_HAZARD_FUNCTION(trampoline);
LT_HAZARD_FUNCTION(own_instruction);

namespace leaktrace::tracer {
namespace {

using End = HazardEnd;
using Body = std::uint64_t (*)(std::uint64_t);

/// The function that the child has a probe on.
std::uint64_t (*call_probed)(Body, std::uint64_t) = lt_hazard_trampoline;

[[noreturn]] void end(End how) {
  for (;;) ::syscall(SYS_exit_group, static_cast<int>(how));
}

std::uint64_t give_back(std::uint64_t value) {
  return value;
}

// ---- It is left
// ----------------------------------------------------------------------------------

struct Thrown {};

std::uint64_t throw_out(std::uint64_t) {
  throw Thrown();
}

End catch_exception() {
  std::set_terminate([] { end(End::no_handler); });
  try {
    call_probed(throw_out, 0);
  } catch (const Thrown&) {
    return End::well;
  }
  return End::wrong_result;
}

bool unwound = false;

struct Guard {
  ~Guard() { unwound = true; }
};

std::uint64_t end_thread(std::uint64_t) {
  ::pthread_exit(nullptr);
}

// A cancellation that was asked for before is acted on here.
std::uint64_t wait_for_cancellation(std::uint64_t value) {
  for (;;) ::pause();
  return value;
}

void* call_under_guard(void* body) {
  const Guard guard;
  call_probed(reinterpret_cast<Body>(body), 0);
  return nullptr;
}

End end_thread_in(Body body, bool cancel) {
  pthread_t thread{};
  if (::pthread_create(&thread, nullptr, call_under_guard, reinterpret_cast<void*>(body)) != 0)
    return End::absent;
  if (cancel) ::pthread_cancel(thread);
  ::pthread_join(thread, nullptr);
  return unwound ? End::well : End::no_unwinding;
}

// ---- Its stack
// -----------------------------------------------------------------------------------

/// Two stacks, each with a call of the function: the first begins first and also returns first.
struct Fibers {
  ucontext_t outside;
  std::array<ucontext_t, 2> contexts;
  std::array<std::array<char, 64 * 1024>, 2> stacks;
  unsigned came_back = 0;
};
Fibers fibers;

std::uint64_t switch_away(std::uint64_t from) {
  ::swapcontext(&fibers.contexts[from], &fibers.contexts[1 - from]);
  return from;
}

// One function with two calls, so that a return to the wrong one does no more harm than that.
void run_fiber(unsigned number) {
  volatile unsigned on_this_stack = number;
  if (on_this_stack == 0) {
    call_probed(switch_away, 0);
    if (on_this_stack != 0) end(End::elsewhere);
    ++fibers.came_back;
    ::swapcontext(&fibers.contexts[0], &fibers.contexts[1]);
  } else {
    call_probed(switch_away, 1);
    if (on_this_stack != 1) end(End::elsewhere);
    ++fibers.came_back;
  }
}

void begin_fiber(int number) {
  run_fiber(static_cast<unsigned>(number));
}

bool prepare_fiber(std::size_t number) {
  ucontext_t& context = fibers.contexts[number];
  if (::getcontext(&context) != 0) return false;
  context.uc_stack.ss_sp = fibers.stacks[number].data();
  context.uc_stack.ss_size = fibers.stacks[number].size();
  context.uc_link = &fibers.outside;
  ::makecontext(&context, reinterpret_cast<void (*)()>(begin_fiber), 1, static_cast<int>(number));
  return true;
}

End switch_fibers() {
  if (!prepare_fiber(0) || !prepare_fiber(1)) return End::absent;
  ::swapcontext(&fibers.outside, &fibers.contexts[0]);
  return fibers.came_back == 2 ? End::well : End::wrong_result;
}

/// What a walk looks for: an address that the function's caller returns to.
struct Walk {
  std::uintptr_t wanted = 0;
  bool found = false;
};
Walk walk;

_Unwind_Reason_Code look_at_frame(_Unwind_Context* context, void*) {
  if (_Unwind_GetIP(context) == walk.wanted) walk.found = true;
  return _URC_NO_REASON;
}

std::uint64_t walk_stack(std::uint64_t value) {
  _Unwind_Backtrace(look_at_frame, nullptr);
  return value;
}

[[gnu::noinline]] End walk_from_inside(std::uint64_t nonce) {
  walk.wanted = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0));
  if (call_probed(walk_stack, nonce) != nonce) return End::wrong_result;
  return walk.found ? End::well : End::cut;
}

// ---- The kernel and the CPU
// ------------------------------------------------------------------------

/// As containers' filters do: what the filter does not know kills the process. 335 and 336 are
/// x86-64's uretprobe and uprobe system calls, which the kernel's own trampolines make.
bool forbid_probe_system_calls() {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 335, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 336, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{static_cast<unsigned short>(std::size(code)), code};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

/// arch/x86/include/uapi/asm/prctl.h (6.6). Not by a function: it would return with no copy of its
/// return address on the new shadow stack.
[[gnu::always_inline]] inline bool enable_shadow_stack() {
#if defined(__x86_64__)
  constexpr long kArchShstkEnable = 0x5001;
  constexpr long kShstk = 1;
  long result = SYS_arch_prctl;
  asm volatile("syscall"
               : "+a"(result)
               : "D"(kArchShstkEnable), "S"(kShstk)
               : "rcx", "r11", "memory");
  return result == 0;
#else
  return false;
#endif
}

[[noreturn]] void return_on_shadow_stack(std::uint64_t nonce) {
  if (!enable_shadow_stack()) end(End::absent);
  end(call_probed(give_back, nonce) == nonce ? End::well : End::wrong_result);
}

End meet(Hazard hazard, std::uint64_t nonce) {
  switch (hazard) {
    case Hazard::exception:
      return catch_exception();
    case Hazard::forced_unwind:
      return end_thread_in(end_thread, false);
    case Hazard::cancellation:
      return end_thread_in(wait_for_cancellation, true);
    case Hazard::fiber:
      return switch_fibers();
    case Hazard::backtrace:
      return walk_from_inside(nonce);
    case Hazard::seccomp:
      if (!forbid_probe_system_calls()) return End::absent;
      return call_probed(give_back, nonce) == nonce ? End::well : End::wrong_result;
    case Hazard::shadow_stack:
      return_on_shadow_stack(nonce);
  }
  return End::wrong_result;
}

}  // namespace

const void* place_of_return_probe(ReturnProbe probe) {
  if (probe == ReturnProbe::own_instruction) return &lt_hazard_own_instruction_return;
  return reinterpret_cast<const void*>(lt_hazard_trampoline);
}

void meet_hazard(ReturnProbe probe, Hazard hazard, std::uint64_t nonce) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::prctl(PR_SET_DUMPABLE, 0);  // no core of a child that is meant to die
  if (probe == ReturnProbe::own_instruction) call_probed = lt_hazard_own_instruction;
  if (call_probed(give_back, nonce) != nonce) end(End::wrong_result);
  end(meet(hazard, nonce));
}

}  // namespace leaktrace::tracer
