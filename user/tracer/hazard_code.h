// SPDX-License-Identifier: Apache-2.0
// What may happen to a function while a probe waits for its return, done by a child process.
#pragma once

#include <cstdint>

namespace leaktrace::tracer {

/// How a probe sees a function return.
enum class ReturnProbe : std::uint8_t {
  trampoline,       ///< the kernel's, in place of the return address (a uretprobe)
  own_instruction,  ///< a probe on the function's own return instruction
};

/// How a function is left, or looked at, other than by returning as compilers make it return.
enum class Hazard : std::uint8_t {
  exception,      ///< a C++ exception passes through it
  forced_unwind,  ///< its thread ends in it (pthread_exit)
  cancellation,   ///< its thread is cancelled in it (pthread_cancel)
  fiber,          ///< another stack calls it while it waits (swapcontext)
  backtrace,      ///< its stack is walked (_Unwind_Backtrace), as profiling allocators do
  seccomp,        ///< a filter kills at system calls that it does not know
  shadow_stack,   ///< the CPU compares its return address with a copy
};
inline constexpr Hazard kHazards[] = {
    Hazard::exception, Hazard::forced_unwind, Hazard::cancellation, Hazard::fiber,
    Hazard::backtrace, Hazard::seccomp,       Hazard::shadow_stack,
};

/// How a child that met a hazard ends, as its exit status.
enum class HazardEnd : std::uint8_t {
  well = 0,
  absent = 20,   ///< this machine does not have what the hazard takes
  no_handler,    ///< the exception found no handler: std::terminate
  no_unwinding,  ///< the thread ended without the destructors of its callers
  elsewhere,     ///< the function returned to the caller of another stack
  cut,           ///< the stack ends in the function
  wrong_result,
};

/// Where a probe of that kind goes: on the entry of a function of the trials, which calls whatever
/// the hazard is, or on its only return instruction. Each kind has a function of its own.
[[nodiscard]] const void* place_of_return_probe(ReturnProbe probe);

/// For a child that was forked for it: calls that function once without a hazard, so that the probe
/// is seen to work, and then with one. Both times it returns `nonce`, if it returns. A hazard may
/// also end the process by a signal.
[[noreturn]] void meet_hazard(ReturnProbe probe, Hazard hazard, std::uint64_t nonce);

}  // namespace leaktrace::tracer
