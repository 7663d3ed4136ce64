// SPDX-License-Identifier: Apache-2.0
//
// exact_mix TRUTH.json: a seeded random mix of every allocation function of glibc on several
// threads, that knows at its end to the byte what each call site still holds. It exits without
// freeing. With --wait it announces itself and begins at SIGUSR1; with --linger it stays at its end
// until SIGTERM.
//
// Exit status: 0, 1 the truth could not be written, 2 usage, 3 the kernel's list of mappings says
// otherwise than the truth, 4 a call failed that should not have.
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "worker.h"

namespace exact_mix {
namespace {

struct Options {
  const char* truth_path = nullptr;
  std::uint64_t seed = 1;
  unsigned threads = 8;
  std::uint64_t operations = 2'000'000;
  bool wait = false;
  bool linger = false;
};

bool parse(int argc, char** argv, Options& options) {
  static const option kLong[] = {{"seed", required_argument, nullptr, 's'},
                                 {"threads", required_argument, nullptr, 't'},
                                 {"operations", required_argument, nullptr, 'n'},
                                 {"wait", no_argument, nullptr, 'w'},
                                 {"linger", no_argument, nullptr, 'l'},
                                 {"for-valgrind", no_argument, nullptr, 'x'},
                                 {}};
  for (int c = 0; (c = getopt_long(argc, argv, "", kLong, nullptr)) != -1;) {
    if (c == 's') options.seed = std::strtoull(optarg, nullptr, 10);
    if (c == 't') options.threads = static_cast<unsigned>(std::strtoul(optarg, nullptr, 10));
    if (c == 'n') options.operations = std::strtoull(optarg, nullptr, 10);
    if (c == 'w') options.wait = true;
    if (c == 'l') options.linger = true;
    if (c == 'x') for_valgrind = true;
    if (c == '?') return false;
  }
  if (optind + 1 != argc || options.threads < 1 || options.threads > kMaxThreads) return false;
  options.truth_path = argv[optind];
  return true;
}

/// Not printf: stdio would allocate its buffer.
void say(const char* format, int value) {
  char line[64];
  const int size = std::snprintf(line, sizeof line, format, value);
  if (write(STDOUT_FILENO, line, static_cast<std::size_t>(size)) != size) _exit(1);
}

void wait_for_signal(int number) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, number);
  int got = 0;
  while (sigwait(&set, &got) != 0) {
  }
}

void block_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigaddset(&set, SIGTERM);
  sigprocmask(SIG_BLOCK, &set, nullptr);
}

std::uint64_t operations_each;

void* run_worker(void* worker) {
  static_cast<Worker*>(worker)->run(operations_each);
  return nullptr;
}

void run_all(const Options& options) {
  operations_each = options.operations / options.threads;
  static pthread_t threads[kMaxThreads];
  for (unsigned i = 0; i < options.threads; ++i)
    workers[i].prepare(i, options.threads, options.seed);
  for (unsigned i = 0; i < options.threads; ++i) {
    if (pthread_create(&threads[i], nullptr, run_worker, &workers[i]) != 0) _exit(4);
  }
  for (unsigned i = 0; i < options.threads; ++i) pthread_join(threads[i], nullptr);
}

RunFacts facts_of(const Options& options) {
  RunFacts facts{};
  facts.seed = options.seed;
  facts.threads = options.threads;
  facts.operations = options.operations;
  for (const Worker& worker : workers) {
    facts.failed_calls += worker.failed_calls;
    facts.unexpected_failures += worker.unexpected_failures;
    facts.cross_thread_releases += worker.cross_thread_releases;
  }
  return facts;
}

int run(const Options& options) {
  block_signals();
  if (options.wait) {
    say("ready %d\n", getpid());
    wait_for_signal(SIGUSR1);
  }
  const std::uint64_t mapped_before = mapped_bytes_by_kernel();
  run_all(options);
  const std::uint64_t mapped = mapped_bytes_by_kernel() - mapped_before;
  const RunFacts facts = facts_of(options);
  if (!write_truth(options.truth_path, facts)) return 1;
  if (mapped != mapped_bytes_by_truth()) return 3;
  if (facts.unexpected_failures > 0) return 4;
  if (options.linger) {
    say("done %d\n", getpid());
    wait_for_signal(SIGTERM);
  }
  return 0;
}

}  // namespace
}  // namespace exact_mix

int main(int argc, char** argv) {
  exact_mix::Options options;
  if (!exact_mix::parse(argc, argv, options)) {
    static const char kUsage[] =
        "usage: exact_mix [--seed N] [--threads 1-64] [--operations N] [--wait] [--linger] "
        "[--for-valgrind] TRUTH\n";
    return write(STDERR_FILENO, kUsage, sizeof kUsage - 1) < 0 ? 1 : 2;
  }
  _exit(exact_mix::run(options));
}
