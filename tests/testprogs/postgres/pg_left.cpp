// SPDX-License-Identifier: Apache-2.0
//
// pg_left CONNINFO exception|cancel|fiber [ROUNDS]: leaves PQexec other than by its return, or has
// it called on another stack while it waits. Waits for SIGUSR1 first.
#include <libpq-fe.h>
#include <pthread.h>
#include <ucontext.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "../testprog.h"

namespace {

constexpr const char* kNotice = "DO $$ BEGIN RAISE NOTICE 'noticed'; END $$";

const char* conninfo = nullptr;

SITE PGconn* open_connection() {
  PGconn* connection = PQconnectdb(conninfo);
  if (PQstatus(connection) != CONNECTION_OK) _exit(1);
  return connection;
}

void say_number(const char* what, unsigned long number) {
  std::array<char, 64> line{};
  say(line.data(),
      static_cast<size_t>(snprintf(line.data(), line.size(), "%s %lu\n", what, number)));
}

// ---- An exception out of a notice processor

struct Noticed {};

void throw_notice(void*, const char*) {
  throw Noticed();
}

bool leaves_by_exception() {
  PGconn* connection = open_connection();
  PQsetNoticeProcessor(connection, throw_notice, nullptr);
  bool caught = false;
  try {
    PQclear(PQexec(connection, kNotice));
  } catch (const Noticed&) {
    caught = true;
  }
  PQfinish(connection);
  return caught;
}

// ---- A cancelled thread

std::atomic<long> slots = 100;

struct Slot {
  Slot() { --slots; }
  ~Slot() { ++slots; }
};

void* wait_in_query(void* begun) {
  PGconn* connection = open_connection();
  const Slot slot;
  *static_cast<std::atomic<bool>*>(begun) = true;
  PQclear(PQexec(connection, "SELECT pg_sleep(100)"));
  PQfinish(connection);
  return nullptr;
}

// Its connection is never closed: leaked by "open_connection".
void cancel_in_query() {
  std::atomic<bool> begun = false;
  pthread_t thread{};
  if (pthread_create(&thread, nullptr, wait_in_query, &begun) != 0) _exit(1);
  while (!begun) usleep(1000);
  usleep(50 * 1000);
  pthread_cancel(thread);
  pthread_join(thread, nullptr);
}

// ---- Fibers that switch in a callback

struct Fibers {
  ucontext_t outside;
  std::array<ucontext_t, 2> contexts;
  std::array<std::array<char, 256UL * 1024>, 2> stacks;
  std::array<PGconn*, 2> connections;
  unsigned long results = 0;
};
Fibers fibers;
std::array<std::size_t, 2> numbers = {0, 1};

// The first waits until the second is in its callback too, and returns before it.
void switch_fiber(void* own, const char*) {
  const std::size_t number = *static_cast<std::size_t*>(own);
  swapcontext(&fibers.contexts[number], &fibers.contexts[1 - number]);
}

SITE void query_in_fiber(std::size_t number) {
  PGresult* result = PQexec(fibers.connections[number], kNotice);
  if (PQresultStatus(result) == PGRES_COMMAND_OK) ++fibers.results;
  PQclear(result);
}

void run_fiber(int number) {
  const auto own = static_cast<std::size_t>(number);
  query_in_fiber(own);
  if (own == 0) swapcontext(&fibers.contexts[0], &fibers.contexts[1]);
}

void prepare_fiber(std::size_t number) {
  ucontext_t& context = fibers.contexts[number];
  if (getcontext(&context) != 0) _exit(1);
  context.uc_stack.ss_sp = fibers.stacks[number].data();
  context.uc_stack.ss_size = fibers.stacks[number].size();
  context.uc_link = &fibers.outside;
  makecontext(&context, reinterpret_cast<void (*)()>(run_fiber), 1, static_cast<int>(number));
}

void run_fibers_once() {
  prepare_fiber(0);
  prepare_fiber(1);
  swapcontext(&fibers.outside, &fibers.contexts[0]);
}

void open_fiber_connections() {
  for (std::size_t i = 0; i < fibers.connections.size(); ++i) {
    fibers.connections[i] = open_connection();
    PQsetNoticeProcessor(fibers.connections[i], switch_fiber, &numbers[i]);
  }
}

void close_fiber_connections() {
  for (PGconn* connection : fibers.connections) PQfinish(connection);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  conninfo = argv[1];
  const unsigned long rounds = argc > 3 ? strtoul(argv[3], nullptr, 10) : 5;
  std::array<char*, 3> waiting = {argv[0], const_cast<char*>("--wait"),
                                  const_cast<char*>("--linger")};
  const testprog self = testprog_begin(static_cast<int>(waiting.size()), waiting.data(), rounds);
  const bool fiber = strcmp(argv[2], "fiber") == 0;
  if (fiber) open_fiber_connections();
  unsigned long caught = 0;
  for (unsigned long i = 0; i < rounds; ++i) {
    if (fiber) {
      run_fibers_once();
    } else if (strcmp(argv[2], "cancel") == 0) {
      cancel_in_query();
    } else if (leaves_by_exception()) {
      ++caught;
    }
  }
  if (fiber) close_fiber_connections();
  say_number("caught", caught);
  say_number("slots", static_cast<unsigned long>(slots.load()));
  say_number("results", fibers.results);
  return testprog_end(&self);
}
