// SPDX-License-Identifier: Apache-2.0
//
// C++20 coroutines: what a resumed body leaks, what one leaks that another awaits and that is
// entered by symmetric transfer, and the frames of coroutines that nobody destroys.
#include <coroutine>
#include <exception>
#include <utility>

#include "stack_truth.h"

LEAKER(leak_in_first_step, 24)
LEAKER(leak_in_resumed_step, 40)
LEAKER(leak_in_awaited, 56)
LEAKER(leak_after_await, 72)

/// A coroutine that begins when it is resumed or awaited, and then goes on with whoever awaited it.
class Task {
 public:
  struct promise_type {
    std::coroutine_handle<> next = std::noop_coroutine();

    Task get_return_object() {
      return Task(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    auto final_suspend() noexcept {
      struct Transfer {
        bool await_ready() noexcept { return false; }
        std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> done) noexcept {
          return done.promise().next;
        }
        void await_resume() noexcept {}
      };
      return Transfer{};
    }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };

  explicit Task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  ~Task() {
    if (handle_) handle_.destroy();
  }

  void resume() { handle_.resume(); }
  /// Leaks the coroutine.
  void abandon() { kept = std::exchange(handle_, {}).address(); }

  bool await_ready() { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> next) {
    handle_.promise().next = next;
    return handle_;
  }
  void await_resume() {}

 private:
  std::coroutine_handle<promise_type> handle_;
};

Task stepwise(unsigned long count) {
  leak_in_first_step(count);
  co_await std::suspend_always();
  leak_in_resumed_step(count);
}

Task awaited(unsigned long count) {
  leak_in_awaited(count);
  co_return;
}

Task awaiting(unsigned long count) {
  co_await awaited(count);
  leak_after_await(count);
}

SITE Task never_destroyed() {
  co_return;
}

SITE void first_step(Task& task) {
  task.resume();
}
SITE void second_step(Task& task) {
  task.resume();
}
SITE void await_both(unsigned long count) {
  Task task = awaiting(count);
  task.resume();
}
SITE void abandon_frames(unsigned long count) {
  for (unsigned long i = 0; i < count; ++i) never_destroyed().abandon();
}

int main(int argc, char** argv) {
  testprog self = testprog_begin(argc, argv, 10);
  {
    Task task = stepwise(self.count);
    first_step(task);
    second_step(task);
  }
  await_both(self.count);
  abandon_frames(self.count);
  return testprog_end(&self);
}
