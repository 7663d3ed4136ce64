// SPDX-License-Identifier: Apache-2.0
#include "user/app/named_frames.h"

#include <fmt/core.h>

#include <chrono>
#include <span>
#include <vector>

#include "user/base/log.h"

namespace leaktrace::app {
namespace {

/// Above the numbers that the tracer gives to files.
constexpr std::uint32_t kFirstModule = 1U << 30;

/// Code objects of one process whose names are kept; some hundred bytes each. Programs that make
/// code as they run (templates, exec) have no end of them.
constexpr std::size_t kMostCodes = 65536;

/// A process without a perf map is asked for one again, not more often than this.
constexpr std::uint64_t kAskAgainNs = 1'000'000'000;

std::uint64_t steady_ns() {
  return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

std::span<const std::uint8_t> bytes_of(const lt_python_string& string) {
  return {string.object, std::min<std::size_t>(string.bytes, sizeof(string.object))};
}

}  // namespace

void NamedFrames::on_python(std::uint32_t image, const tracer::PythonProcess& process) {
  pythons_[image].process = process;
}

void NamedFrames::on_python_code(const lt_event_python_code& event) {
  auto python = pythons_.find(event.header.image);
  if (python == pythons_.end()) return;
  const tracer::PythonImage& image = *python->second.process.image;
  const symbolize::PythonStrings strings{image.ascii_data, image.other_data};
  const std::size_t lines = std::min<std::size_t>(event.line_bytes, LT_PYTHON_LONG_LINES);
  make_room(python->second, event.code);
  python->second.codes.insert_or_assign(
      event.code, symbolize::PythonCode(symbolize::python_string(bytes_of(event.file), strings),
                                        symbolize::python_string(bytes_of(event.name), strings),
                                        event.first_line, {event.lines, event.lines + lines}));
}

void NamedFrames::make_room(Python& python, std::uint64_t code) {
  if (python.codes.contains(code)) return;
  python.order.push_back(code);
  if (python.order.size() <= kMostCodes) return;
  python.codes.erase(python.order.front());
  python.order.pop_front();
  ++python.dropped;
}

bool NamedFrames::evaluates_python(std::uint32_t image, std::uint64_t address) const {
  auto python = pythons_.find(image);
  if (python == pythons_.end()) return false;
  const lt_python& layout = python->second.process.layout;
  return address > layout.eval_start && address <= layout.eval_end;
}

model::RawFrame NamedFrames::python_frame(std::uint32_t image, std::uint64_t code,
                                          std::uint64_t instruction) {
  const model::RawFrame unknown{.address = instruction, .module = {}, .offset = 0};
  auto python = pythons_.find(image);
  if (python == pythons_.end()) return unknown;
  const tracer::PythonProcess& process = python->second.process;
  auto known = python->second.codes.find(code);
  if (known == python->second.codes.end()) return unknown;
  const std::uint64_t first = LT_PYTHON_CODE_ADDRESS(code) + process.layout.code_instructions;
  return name(std::string(model::kPythonModule),
              known->second.at(static_cast<std::int64_t>(instruction - first)), instruction);
}

model::RawFrame NamedFrames::generated_frame(std::uint32_t image, pid_t pid,
                                             std::uint64_t address) {
  Generated& generated = generated_[image];
  auto source = look_up(generated, pid, address - 1);
  if (!source) return {.address = address, .module = {}, .offset = 0};
  return name(generated.map->path(), *source, address);
}

std::optional<model::SourceFrame> NamedFrames::look_up(Generated& generated, pid_t pid,
                                                       std::uint64_t address) {
  const std::uint64_t now = steady_ns();
  if (!generated.map && now >= generated.ask_ns) {
    generated.map = symbolize::PerfMap::open(pid, perf_maps_);
    generated.ask_ns = now + kAskAgainNs;
  }
  if (!generated.map) return std::nullopt;
  // What is new in the file replaces what was at its addresses before: read that first.
  if (auto refreshed = generated.map->refresh(); !refreshed) {
    log::debug("{}: {}", generated.map->path(), refreshed.error().message());
  }
  return generated.map->look_up(address);
}

model::RawFrame NamedFrames::name(const std::string& path, const model::SourceFrame& source,
                                  std::uint64_t address) {
  const model::ModuleId module = module_of(path);
  const auto [number, is_new] =
      named_.try_emplace({module, Name{source.function, source.file, source.line}}, named_.size());
  if (is_new) emit_(model::FrameNames{module, number->second, {source}});
  return {.address = address, .module = module, .offset = number->second};
}

model::ModuleId NamedFrames::module_of(const std::string& path) {
  const auto next = static_cast<std::uint32_t>(kFirstModule + modules_.size());
  const auto [module, is_new] = modules_.try_emplace(path, model::ModuleId{next});
  if (is_new) emit_(model::Module{.id = module->second, .path = path, .build_id = {}});
  return module->second;
}

void NamedFrames::emit_losses() const {
  for (const auto& [image, python] : pythons_) emit_loss(python);
  for (const auto& [image, generated] : generated_) emit_loss(generated);
}

void NamedFrames::emit_loss(const Python& python) const {
  if (python.dropped == 0) return;
  emit_(model::FileLoss{.path = std::string(model::kPythonModule),
                        .subject = model::FileSubject::symbols,
                        .count = python.dropped,
                        .why = fmt::format("more than {} code objects", kMostCodes)});
}

void NamedFrames::emit_loss(const Generated& generated) const {
  if (!generated.map) return;
  if (auto loss = generated.map->loss()) emit_(*loss);
}

void NamedFrames::forget(std::uint32_t image) {
  if (auto python = pythons_.find(image); python != pythons_.end()) {
    emit_loss(python->second);
    pythons_.erase(python);
  }
  if (auto generated = generated_.find(image); generated != generated_.end()) {
    emit_loss(generated->second);
    generated_.erase(generated);
  }
}

}  // namespace leaktrace::app
