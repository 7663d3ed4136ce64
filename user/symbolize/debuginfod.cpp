// SPDX-License-Identifier: Apache-2.0
#include "user/symbolize/debuginfod.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

namespace leaktrace::symbolize {
namespace {

struct Client;  // of the library

// What is used of libdebuginfod's interface, as debuginfod_find_debuginfo(3) has it.
struct Library {
  using ProgressFn = int (*)(Client*, long, long);

  Client* (*begin)() = nullptr;
  void (*end)(Client*) = nullptr;
  int (*find_debuginfo)(Client*, const unsigned char*, int, char**) = nullptr;
  void (*set_progressfn)(Client*, ProgressFn) = nullptr;
  void (*set_user_data)(Client*, void*) = nullptr;
  void* (*get_user_data)(Client*) = nullptr;
};

template <typename Function>
bool load(void* handle, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(handle, name));
  return function != nullptr;
}

// Stays loaded until the program ends: libcurl behind it does not like to be unloaded.
Result<Library> load_library() {
  void* handle = ::dlopen("libdebuginfod.so.1", RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    return fail("cannot load libdebuginfod.so.1", "install it (Debian: libdebuginfod1)");
  }
  Library library;
  const bool whole = load(handle, "debuginfod_begin", library.begin) &&
                     load(handle, "debuginfod_end", library.end) &&
                     load(handle, "debuginfod_find_debuginfo", library.find_debuginfo) &&
                     load(handle, "debuginfod_set_progressfn", library.set_progressfn) &&
                     load(handle, "debuginfod_set_user_data", library.set_user_data) &&
                     load(handle, "debuginfod_get_user_data", library.get_user_data);
  if (!whole) return fail("libdebuginfod.so.1 lacks functions that are needed");
  return library;
}

}  // namespace

struct Debuginfod::Work {
  struct File {
    State state = State::pending;
    UniqueFd fd;
    std::string why;
  };

  void start();
  void run();
  File fetch(Client* client, const std::string& build_id);
  static int on_progress(Client* client, long received, long total);

  static inline void* (*get_user_data)(Client*) = nullptr;  ///< the library's; set once
  Library library;
  std::mutex mutex;  ///< of what follows
  std::condition_variable changed;
  std::map<std::string, File> files;
  std::deque<std::string> queue;
  std::size_t done = 0;
  std::uint64_t bytes_done = 0;
  std::atomic<std::uint64_t> bytes_now{0};
  std::atomic<bool> stopping{false};
  std::thread thread;
};

// Called by the library from within find_debuginfo; anything but 0 breaks it off.
int Debuginfod::Work::on_progress(Client* client, long received, long total) {
  // `total` is 0 while nothing is received, and `received` then counts something else.
  auto* work = static_cast<Work*>(get_user_data(client));
  if (total > 0 && received >= 0) work->bytes_now = static_cast<std::uint64_t>(received);
  return work->stopping ? 1 : 0;
}

Debuginfod::Work::File Debuginfod::Work::fetch(Client* client, const std::string& build_id) {
  File file;
  // A length of 0 says that the id is in hex.
  const auto* id = reinterpret_cast<const unsigned char*>(build_id.c_str());
  const int fd = client == nullptr ? -ENOMEM : library.find_debuginfo(client, id, 0, nullptr);
  if (fd >= 0) {
    file.state = State::here;
    file.fd = UniqueFd(fd);
    return file;
  }
  file.state = State::failed;
  file.why = fd == -ENOENT ? "the debuginfod servers do not have it"
                           : std::string("debuginfod: ") + std::strerror(-fd);
  return file;
}

// With the first file that is asked for: until then the process gives up privileges, which a thread
// would keep.
void Debuginfod::Work::start() {
  if (thread.joinable()) return;
  // Signals are for the thread that waits for them.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  thread = std::thread(&Work::run, this);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Debuginfod::Work::run() {
  Client* client = library.begin();
  if (client != nullptr) {
    library.set_user_data(client, this);
    library.set_progressfn(client, &on_progress);
  }
  std::unique_lock lock(mutex);
  for (;;) {
    changed.wait(lock, [this] { return stopping || !queue.empty(); });
    if (stopping) break;
    const std::string build_id = std::move(queue.front());
    queue.pop_front();
    lock.unlock();
    File file = fetch(client, build_id);
    lock.lock();
    bytes_done += bytes_now.exchange(0);
    files[build_id] = std::move(file);
    ++done;
    changed.notify_all();
  }
  lock.unlock();
  if (client != nullptr) library.end(client);
}

Debuginfod::Debuginfod(std::unique_ptr<Work> work) : work_(std::move(work)) {}

Result<std::unique_ptr<Debuginfod>> Debuginfod::create() {
  const char* urls = std::getenv("DEBUGINFOD_URLS");
  if (urls == nullptr || urls[0] == '\0') {
    return fail("DEBUGINFOD_URLS names no server to ask for debug files",
                "set it, for example to https://debuginfod.debian.net; sudo keeps it with -E");
  }
  auto library = load_library();
  if (!library) return library.unexpected();
  auto work = std::make_unique<Work>();
  work->library = *library;
  Work::get_user_data = library->get_user_data;
  return std::unique_ptr<Debuginfod>(new Debuginfod(std::move(work)));
}

Debuginfod::~Debuginfod() {
  {
    const std::lock_guard lock(work_->mutex);
    work_->stopping = true;
  }
  work_->changed.notify_all();
  if (work_->thread.joinable()) work_->thread.join();
}

Debuginfod::Answer Debuginfod::fetch(const std::string& build_id) {
  const std::lock_guard lock(work_->mutex);
  auto [entry, added] = work_->files.try_emplace(build_id);
  if (added) {
    work_->start();
    work_->queue.push_back(build_id);
    work_->changed.notify_all();
  }
  Answer answer{.state = entry->second.state, .fd = {}, .why = entry->second.why};
  if (answer.state == State::here) {
    answer.fd = UniqueFd(::fcntl(entry->second.fd.get(), F_DUPFD_CLOEXEC, 0));
  }
  return answer;
}

Debuginfod::Progress Debuginfod::progress() const {
  const std::lock_guard lock(work_->mutex);
  return {.done = work_->done,
          .asked = work_->files.size(),
          .bytes = work_->bytes_done + work_->bytes_now};
}

bool Debuginfod::wait(std::chrono::seconds limit,
                      const std::function<bool(const Progress&)>& go_on) {
  const auto end = std::chrono::steady_clock::now() + limit;
  for (;;) {
    const Progress now = progress();
    if (now.done == now.asked) return true;
    if (!go_on(now) || std::chrono::steady_clock::now() >= end) return false;
    std::unique_lock lock(work_->mutex);
    work_->changed.wait_for(lock, std::chrono::milliseconds(100));
  }
}

}  // namespace leaktrace::symbolize
