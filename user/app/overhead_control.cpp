// SPDX-License-Identifier: Apache-2.0
#include "user/app/overhead_control.h"

#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <random>
#include <utility>

#include "user/app/signals.h"
#include "user/base/clock.h"
#include "user/base/file.h"
#include "user/base/log.h"
#include "user/tracer/target_clock.h"

namespace leaktrace::app {
namespace {

/// Bytes from sample to sample that the governor may choose: with more, minutes of a leak of
/// 100 KiB/s would not be a single sample. Where that costs too much still, windows are left.
constexpr std::uint64_t kWidestInterval = std::uint64_t{64} << 20;

double milliseconds(std::uint64_t ns) {
  return static_cast<double>(ns) / 1e6;
}

lt_hits operator+(const lt_hits& a, const lt_hits& b) {
  return {.entries = a.entries + b.entries,
          .stepped = a.stepped + b.stepped,
          .returns = a.returns + b.returns,
          .timed = a.timed + b.timed,
          .timed_ns = a.timed_ns + b.timed_ns,
          .samples = a.samples + b.samples};
}

lt_hits operator-(const lt_hits& a, const lt_hits& b) {
  return {.entries = a.entries - b.entries,
          .stepped = a.stepped - b.stepped,
          .returns = a.returns - b.returns,
          .timed = a.timed - b.timed,
          .timed_ns = a.timed_ns - b.timed_ns,
          .samples = a.samples - b.samples};
}

tracer::Calibration calibrate_or_assume(tracer::ProbeMode mode) {
  auto calibration = tracer::calibrate(mode);
  if (calibration) {
    log::debug("a hit costs {:.0f} ns, {:.0f} ns where it is single-stepped, its return {:.0f} ns",
               calibration->costs.entry, calibration->costs.stepped, calibration->costs.returning);
    return std::move(*calibration);
  }
  log::warning("the cost of tracing is a guess: {}", calibration.error().message());
  return {.costs = tracer::assumed_hit_costs(), .detaching = {}};
}

std::uint32_t sampling_steps(std::uint64_t base) {
  std::uint32_t steps = 1;
  while (steps < LT_SAMPLING_STEPS && base << steps <= kWidestInterval) ++steps;
  return steps;
}

tracer::GovernorOptions governor_options(const OverheadOptions& options,
                                         const tracer::HitCosts& costs) {
  return {.budget_percent = options.budget_percent.value_or(0),
          .may_widen = options.sampling_base > 0,
          .steps = sampling_steps(options.sampling_base),
          .costs = costs,
          .seed = std::random_device{}()};
}

}  // namespace

OverheadControl::OverheadControl(OverheadOptions options, tracer::LinkKeeper& keeper,
                                 tracer::Calibration calibration, Descriptors descriptors)
    : options_(options),
      keeper_(keeper),
      detaching_(std::move(calibration.detaching)),
      timer_(std::move(descriptors.timer)),
      event_(std::move(descriptors.event)),
      end_(std::move(descriptors.end)),
      stops_(std::move(descriptors.stops)),
      governor_(governor_options(options, calibration.costs)) {}

Result<std::unique_ptr<OverheadControl>> OverheadControl::create(OverheadOptions options,
                                                                 tracer::LinkKeeper& keeper) {
  auto descriptors = open_descriptors();
  if (!descriptors) return descriptors.unexpected();
  std::unique_ptr<OverheadControl> control(new OverheadControl(
      options, keeper, calibrate_or_assume(options.mode), std::move(*descriptors)));
  control->thread_ = std::thread([self = control.get()] { self->control(); });
  return control;
}

OverheadControl::~OverheadControl() {
  if (!thread_.joinable()) return;
  (void)::eventfd_write(end_.get(), 1);
  thread_.join();
}

// ---- What is read -------------------------------------------------------------------------------

void OverheadControl::add(const tracer::Tracer& tracer, pid_t pid, std::uint32_t image) {
  const std::scoped_lock lock(mutex_);
  auto [found, is_new] = watched_.try_emplace(pid);
  Watched& watched = found->second;
  if (is_new) {
    watched.cpu_base_ns = tracer::process_cpu_ns(pid);
    governor_.add(pid, monotonic_ns());
  } else {
    watched.earlier =
        watched.earlier + (tracer.engine().hits(LT_HIT_SLOT(watched.image)) - watched.base);
  }
  watched.image = image;
  // An image may have been hit before it is heard of; what others left in its slot is not its own.
  const std::uint32_t slot = LT_HIT_SLOT(image);
  watched.base = used_slots_.test(slot) ? tracer.engine().hits(slot) : lt_hits{};
  used_slots_.set(slot);
}

std::optional<tracer::TargetReading> OverheadControl::read_one(const tracer::Tracer& tracer,
                                                               pid_t pid,
                                                               const Watched& watched) const {
  // The CPU time last, so that it is that of all the hits.
  const lt_hits hits = tracer.engine().hits(LT_HIT_SLOT(watched.image));
  const std::uint64_t cpu_ns = tracer::process_cpu_ns(pid);
  if (cpu_ns < watched.cpu_base_ns || cpu_ns == 0) return std::nullopt;
  return tracer::TargetReading{.pid = pid,
                               .hits = watched.earlier + (hits - watched.base),
                               .cpu_ns = cpu_ns - watched.cpu_base_ns};
}

std::vector<tracer::TargetReading> OverheadControl::read(const tracer::Tracer& tracer) const {
  std::vector<tracer::TargetReading> readings;
  readings.reserve(watched_.size());
  for (const auto& [pid, watched] : watched_) {
    if (auto reading = read_one(tracer, pid, watched)) readings.push_back(*reading);
  }
  return readings;
}

// The last it did counts too, as far as its CPU time is known still.
void OverheadControl::remove(const tracer::Tracer& tracer, pid_t pid) {
  const std::scoped_lock lock(mutex_);
  auto watched = watched_.find(pid);
  if (watched == watched_.end()) return;
  if (auto reading = read_one(tracer, pid, watched->second); reading && !stopped_ns_) {
    governor_.take(monotonic_ns(), {*reading});
  }
  governor_.forget(pid);
  watched_.erase(watched);
}

// ---- What is done -------------------------------------------------------------------------------

void OverheadControl::begin(tracer::Tracer& tracer) {
  const std::scoped_lock lock(mutex_);
  if (began_ns_ != 0) return;
  const std::uint64_t now_ns = monotonic_ns();
  tracer_ = &tracer;
  began_ns_ = window_from_ns_ = now_ns;
  phase_ = Phase::open;
  governor_.probes_changed(true, now_ns, 0);
  arm(now_ns + governor_.first_look_ns());
  see_window();
}

Result<void> OverheadControl::on_event(tracer::Tracer& tracer) {
  eventfd_t times = 0;
  if (::eventfd_read(event_.get(), &times) != 0) return {};
  settle();
  bool opens = false;
  {
    const std::scoped_lock lock(mutex_);
    if (keeper_is_gone_)
      return fail(
          "the process that keeps leaktrace's probes has ended: nothing is traced any more");
    opens = phase_ == Phase::opening;
  }
  if (opens) resume(tracer);
  return {};
}

void OverheadControl::resume(tracer::Tracer& tracer) {
  const std::uint64_t cpu_ns = keeper_.state().attach_cpu_ns;
  bool opened = false;
  double percent = 0;
  double blind_ms = 0;
  std::optional<Absence> absence;
  std::optional<Precedence> precedence(std::in_place, options_.budget_percent.has_value());
  auto resumed = tracer.resume([&](std::uint64_t from_ns) {
    const std::scoped_lock lock(mutex_);
    opened = true;
    percent = governor_.percent_of_target_cpu();
    blind_ms = milliseconds(from_ns - window_to_ns_);
    window_from_ns_ = from_ns;
    absence = std::exchange(absence_, std::nullopt);
    if (absence) absence->to_ns = from_ns;
    phase_ = Phase::open;
    governor_.probes_changed(true, from_ns, 0);
    arm(from_ns + governor_.first_look_ns());
    see_window();
  });
  precedence.reset();
  // CPU time: what it waits for holds up no target.
  const std::uint64_t took_ns = keeper_.state().attach_cpu_ns - cpu_ns;
  {
    const std::scoped_lock lock(mutex_);
    if (opened) governor_.switch_took(took_ns);
    if (!opened && phase_ == Phase::opening) phase_ = Phase::told;  // it is held: for the thread
  }
  if (!resumed) {
    log::warning("not all probes could be attached again: {}", resumed.error().message());
  }
  if (!opened) return;
  log::debug(
      "probes attached again in {:.1f} ms after {:.0f} ms without: tracing took {:.4f} % of the "
      "targets' CPU time",
      milliseconds(took_ns), blind_ms, percent);
  if (absence && on_absence_) on_absence_(*absence);
}

void OverheadControl::settle() {
  std::unique_lock lock(mutex_);
  see_window();
  if (phase_ == Phase::closed) {
    const std::uint64_t from_ns = window_from_ns_;
    const std::uint64_t to_ns = window_to_ns_;
    const double percent = governor_.percent_of_target_cpu();
    lock.unlock();
    log::debug("probes taken away after {:.0f} ms: tracing took {:.2f} % of the targets' CPU time",
               milliseconds(to_ns - from_ns), percent);
    if (on_window_end_) on_window_end_(from_ns, to_ns);
    lock.lock();
    phase_ = Phase::told;
    arm(monotonic_ns());
  }
  if (!stopped_ns_ || !absence_) return;
  Absence absence = *std::exchange(absence_, std::nullopt);
  absence.to_ns = *stopped_ns_;
  lock.unlock();
  if (on_absence_) on_absence_(absence);
}

void OverheadControl::stop(const tracer::Tracer& tracer) {
  if (thread_.joinable()) {
    (void)::eventfd_write(end_.get(), 1);
    thread_.join();
    take_stops_no_more();
  }
  const std::scoped_lock lock(mutex_);
  if (stopped_ns_) return;
  governor_.take(monotonic_ns(), read(tracer));
  stopped_ns_ = monotonic_ns();
}

void OverheadControl::arm(std::uint64_t at_ns) {
  itimerspec when{};
  when.it_value = {static_cast<time_t>(at_ns / 1'000'000'000U),
                   static_cast<long>(at_ns % 1'000'000'000U)};
  ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &when, nullptr);
}

void OverheadControl::wake_main_loop() {
  (void)::eventfd_write(event_.get(), 1);
}

// ---- What is told -------------------------------------------------------------------------------

model::Overhead OverheadControl::overhead(const tracer::Tracer& tracer) {
  const std::scoped_lock lock(mutex_);
  if (!stopped_ns_) governor_.take(monotonic_ns(), read(tracer));
  return {.sampling_bytes = options_.sampling_base << governor_.step(),
          .observed_ns = 0,
          .nanoseconds_per_hit = governor_.nanoseconds_per_hit(),
          .percent_of_target_cpu = governor_.percent_of_target_cpu()};
}

std::uint64_t OverheadControl::blind_ns(std::uint64_t trace_began_ns) const {
  const std::scoped_lock lock(mutex_);
  const std::uint64_t blind_ns = governor_.blind_ns(stopped_ns_.value_or(monotonic_ns()));
  if (blind_ns == 0 || began_ns_ < trace_began_ns) return blind_ns;
  return blind_ns + (began_ns_ - trace_began_ns);
}

}  // namespace leaktrace::app
