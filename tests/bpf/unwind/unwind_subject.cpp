// SPDX-License-Identifier: Apache-2.0
// Calls probe_point() on many kinds of stack. A first round, before anything is probed, notes the
// truth as the C++ runtime's unwinder sees it; the second round is for the probe. Then the truth
// goes to stdout, a list of {scenario, count, addresses} in 64-bit words.
//
//     stdout  'r' ready: the truth is noted       'e' … the end and the truth
//     stdin   a byte: go on with the second round
#include <alloca.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/bpf/unwind/scenarios.h"

namespace {

bool recording = true;
uint64_t scenario = 0;
std::vector<uint64_t> truth;
volatile int sink = 0;

_Unwind_Reason_Code note_frame(_Unwind_Context* context, void* out) {
  auto& frames = *static_cast<std::vector<uint64_t>*>(out);
  int interrupted = 0;
  const uint64_t ip = _Unwind_GetIPInfo(context, &interrupted);
  if (ip != 0) frames.push_back(ip + (interrupted != 0 ? 1 : 0));
  return _URC_NO_REASON;
}

}  // namespace

extern "C" __attribute__((noinline)) void probe_point(int value) {
  sink = sink + value;
}

extern "C" __attribute__((noinline)) void point(int value) {
  if (recording) {
    std::vector<uint64_t> frames;
    _Unwind_Backtrace(note_frame, &frames);
    truth.push_back(scenario);
    truth.push_back(frames.size());
    truth.insert(truth.end(), frames.begin(), frames.end());
  }
  probe_point(value);
  sink = sink + 1;
}

/// Its return address is replaced by a return probe of the test, at every depth.
extern "C" __attribute__((noinline)) int hijacked(int depth) {
  if (depth == 0) {
    point(1);
    return 0;
  }
  const int below = hijacked(depth - 1);
  sink = sink + below;
  return below + 1;
}

namespace {

using Recursion = std::function<int(int)>;

void recurse_through_function(int depth) {
  Recursion recursion;
  recursion = [&recursion](int n) {
    if (n == 0) {
      point(n);
      return 0;
    }
    const int result = recursion(n - 1) + n;
    sink = sink + result;
    return result;
  };
  sink = sink + recursion(depth);
}

void sort_with_callback() {
  std::array<int, 5> numbers{5, 3, 9, 1, 7};
  std::sort(numbers.begin(), numbers.end(), [](int a, int b) {
    point(a);
    return a < b;
  });
  sink = sink + numbers[0];
}

int compare(const void* a, const void* b) {
  point(2);
  return *static_cast<const int*>(a) - *static_cast<const int*>(b);
}

void qsort_in_libc() {
  std::array<int, 4> numbers{4, 3, 2, 1};
  qsort(numbers.data(), numbers.size(), sizeof(int), compare);
  sink = sink + numbers[0];
}

void lambdas() {
  std::map<std::string, int> words{{"a", 1}, {"b", 2}};
  auto outer = [&words](auto inner) {
    for (const auto& [word, number] : words) inner(word, number);
  };
  outer([](const std::string& word, int number) {
    point(number + static_cast<int>(word.size()));
    sink = sink + 1;
  });
}

struct PointsWhenItGoes {
  ~PointsWhenItGoes() {
    point(3);
    sink = sink + 1;
  }
};

__attribute__((noinline)) void throws(int n) {
  const PointsWhenItGoes guard;
  if (n == 0) throw std::runtime_error("thrown on purpose");
  throws(n - 1);
  sink = sink + 1;
}

void exceptions() {
  try {
    throws(3);
  } catch (const std::exception& error) {
    point(static_cast<int>(strlen(error.what())));
  }
}

template <size_t Size>
__attribute__((noinline)) void frame_of(int depth) {
  char bytes[Size];
  memset(bytes, depth, 16);
  asm volatile("" : : "r"(bytes) : "memory");
  if (depth == 0) {
    point(bytes[3]);
  } else {
    frame_of<Size>(depth - 1);
  }
  sink = sink + bytes[5];
}

__attribute__((noinline)) void moving_stack(size_t size) {
  auto* bytes = static_cast<char*>(alloca(size));
  memset(bytes, 1, size);
  asm volatile("" : : "r"(bytes) : "memory");
  if (size > 5000) {
    point(bytes[size / 2]);
  } else {
    moving_stack(size * 2 + 24);
  }
  sink = sink + bytes[1];
}

/// An aligned object and a moving stack: GCC keeps the CFA on the stack.
__attribute__((noinline)) void realigned(size_t size, int depth) {
  alignas(64) char aligned[128];
  auto* bytes = static_cast<char*>(alloca(size));
  asm volatile("" : : "r"(aligned), "r"(bytes) : "memory");
  if (depth == 0) {
    point(depth);
  } else {
    realigned(size + 8, depth - 1);
  }
  sink = sink + aligned[0] + bytes[0];
}

char* guarded = nullptr;
size_t memory_page = 0;

void on_signal(int) {
  point(4);
  sink = sink + 1;
}

void on_fault(int, siginfo_t*, void*) {
  point(5);
  mprotect(guarded, memory_page, PROT_READ | PROT_WRITE);
}

__attribute__((noinline)) void leaf_that_faults(volatile char* memory) {
  *memory = 1;
}

#ifdef __x86_64__
/// void fault_in_register_frame(volatile char* memory): as cryptographic code in assembly does, it
/// keeps its CFA in a register that calls may clobber, r11, while its stack is realigned; and rbx,
/// which the frame around it counts from, is saved at an odd place.
asm(R"(
    .pushsection .text
    .p2align 4
    .type fault_in_register_frame, @function
fault_in_register_frame:
    .cfi_startproc
    lea     8(%rsp), %r11
    .cfi_def_cfa %r11, 0
    sub     $200, %rsp
    and     $-64, %rsp
    movb    $1, (%rdi)
    lea     -8(%r11), %rsp
    .cfi_def_cfa %rsp, 8
    ret
    .cfi_endproc
    .size fault_in_register_frame, . - fault_in_register_frame
    .popsection
)");
extern "C" void fault_in_register_frame(volatile char* memory);
#endif

__attribute__((noinline)) void frame_that_faults(int depth) {
  char bytes[200];
  asm volatile("" : : "r"(bytes) : "memory");
  if (depth == 0) {
    leaf_that_faults(guarded);
  } else {
    frame_that_faults(depth - 1);
  }
  sink = sink + bytes[1];
}

/// `faults` writes to memory that it may not.
template <typename Function>
void fault_on(int flags, Function faults) {
  struct sigaction action {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | flags;
  sigaction(SIGSEGV, &action, nullptr);
  mprotect(guarded, memory_page, PROT_NONE);
  faults();
  signal(SIGSEGV, SIG_DFL);
}

void raise_signal() {
  signal(SIGUSR1, on_signal);
  raise(SIGUSR1);
  sink = sink + 1;
}

ucontext_t coroutine_context;
ucontext_t main_context;

void coroutine() {
  frame_of<40>(3);
}

void on_coroutine() {
  static std::vector<char> stack(256 * 1024);
  getcontext(&coroutine_context);
  coroutine_context.uc_stack.ss_sp = stack.data();
  coroutine_context.uc_stack.ss_size = stack.size();
  coroutine_context.uc_link = &main_context;
  makecontext(&coroutine_context, coroutine, 0);
  swapcontext(&main_context, &coroutine_context);
}

/// push rbp; mov rsp, rbp; call *rdi; pop rbp; ret – as a JIT compiler keeps frames.
void through_generated_code() {
  static const unsigned char code[] = {0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3};
  static void* const memory = mmap(nullptr, memory_page, PROT_READ | PROT_WRITE | PROT_EXEC,
                                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memcpy(memory, code, sizeof code);
  auto generated = reinterpret_cast<void (*)(void (*)())>(memory);
  generated([] {
    point(6);
    sink = sink + 1;
  });
  sink = sink + 1;
}

void once() {
  std::unique_ptr<std::once_flag> flag(new std::once_flag);
  std::call_once(*flag, [] {
    point(7);
    sink = sink + 1;
  });
}

template <typename Function>
void run(Scenario which, Function function) {
  scenario = static_cast<uint64_t>(which);
  function();
}

__attribute__((noinline)) void round() {
  run(Scenario::function, [] { recurse_through_function(20); });
  run(Scenario::too_deep, [] { recurse_through_function(200); });
  run(Scenario::sort, sort_with_callback);
  run(Scenario::qsort, qsort_in_libc);
  run(Scenario::lambda, lambdas);
  run(Scenario::exception, exceptions);
  run(Scenario::small_frames, [] { frame_of<24>(50); });
  run(Scenario::large_frames, [] { frame_of<1400>(20); });
  run(Scenario::huge_frames, [] { frame_of<300000>(4); });
  run(Scenario::moving_stack, [] { moving_stack(40); });
  run(Scenario::realigned, [] { realigned(100, 5); });
  run(Scenario::signal, raise_signal);
  run(Scenario::fault, [] { fault_on(0, [] { frame_that_faults(3); }); });
  run(Scenario::fault_on_other_stack, [] { fault_on(SA_ONSTACK, [] { frame_that_faults(3); }); });
#ifdef __x86_64__
  run(Scenario::fault_in_register_frame,
      [] { fault_on(SA_ONSTACK, [] { fault_in_register_frame(guarded); }); });
#endif
  run(Scenario::thread, [] { std::thread([] { frame_of<64>(5); }).join(); });
  run(Scenario::coroutine, on_coroutine);
  run(Scenario::once, once);
  run(Scenario::hijacked, [] { hijacked(12); });
  run(Scenario::generated_code, through_generated_code);
}

}  // namespace

int main() {
  memory_page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  guarded =
      static_cast<char*>(mmap(nullptr, memory_page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  std::vector<char> other_stack(64 * 1024);
  stack_t alternate{};
  alternate.ss_sp = other_stack.data();
  alternate.ss_size = other_stack.size();
  sigaltstack(&alternate, nullptr);

  // Both rounds from one place: their stacks must be equal to the last address.
  const volatile int rounds = 2;
  for (int i = 0; i < rounds; ++i) {
    if (i == 1) {
      recording = false;
      char go = 0;
      if (write(STDOUT_FILENO, "r", 1) != 1 || read(STDIN_FILENO, &go, 1) != 1) return 1;
    }
    round();
  }
  const auto* bytes = reinterpret_cast<const char*>(truth.data());
  size_t left = truth.size() * sizeof(uint64_t);
  while (left > 0) {
    const ssize_t n = write(STDOUT_FILENO, bytes, left);
    if (n <= 0) return 1;
    bytes += n;
    left -= static_cast<size_t>(n);
  }
  return 0;
}
