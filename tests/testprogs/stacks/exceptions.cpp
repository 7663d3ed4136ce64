// SPDX-License-Identifier: Apache-2.0
//
// Leaks while an exception is on its way: in the destructors that it runs, where it is caught, in
// the making of the exception object, and after it was passed on.
#include <exception>
#include <stdexcept>

#include "stack_truth.h"

LEAKER(leak_in_destructor, 24)
LEAKER(leak_in_catch, 40)
LEAKER(leak_in_second_catch, 56)
LEAKER(leak_in_copy, 72)
LEAKER(leak_after_catch, 88)

namespace {

unsigned long blocks;

struct Guard {
  SITE ~Guard();
};
Guard::~Guard() {
  leak_in_destructor(blocks);
}

struct Passenger {
  Passenger() = default;
  SITE Passenger(const Passenger& other);
  Passenger& operator=(const Passenger&) = delete;
};
Passenger::Passenger(const Passenger& other) {
  if (&other != this) leak_in_copy(blocks);
}

}  // namespace

SITE void throw_number(int number) {
  throw number;
}

SITE void throw_past_guard(int number) {
  Guard guard;
  throw_number(number);
}

SITE void catch_number() {
  try {
    throw_past_guard(3);
  } catch (int number) {
    if (number == 3) leak_in_catch(blocks);
  }
}

SITE void pass_on() {
  try {
    throw_number(4);
  } catch (int) {
    throw;
  }
}

SITE void catch_passed_on() {
  try {
    pass_on();
  } catch (int) {
    leak_in_second_catch(blocks);
  }
}

SITE void throw_copied() {
  static const Passenger passenger;
  throw passenger;
}

SITE void catch_copied() {
  try {
    throw_copied();
  } catch (const Passenger&) {
  }
  leak_after_catch(blocks);
}

SITE void keep_exception() {
  static std::exception_ptr last;
  try {
    throw_number(5);
  } catch (...) {
    kept = new std::exception_ptr(std::current_exception());
  }
}

int main(int argc, char** argv) {
  testprog self = testprog_begin(argc, argv, 10);
  blocks = self.count;
  catch_number();
  catch_passed_on();
  catch_copied();
  for (unsigned long i = 0; i < blocks; ++i) keep_exception();
  return testprog_end(&self);
}
