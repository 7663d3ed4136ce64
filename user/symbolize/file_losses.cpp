// SPDX-License-Identifier: Apache-2.0
#include "user/symbolize/file_losses.h"

namespace leaktrace::symbolize {
namespace {

constexpr std::size_t kMostCauses = 16;

}  // namespace

void FileLosses::add(const std::string& path, const std::string& why, std::uint64_t parts) {
  Causes& causes = files_[path];
  const bool room = causes.size() < kMostCauses || causes.contains(why);
  causes[room ? why : "other causes"] += parts;
}

void FileLosses::add(const FileLosses& others) {
  for (const auto& [path, causes] : others.files_) {
    for (const auto& [why, parts] : causes) add(path, why, parts);
  }
}

std::vector<model::FileLoss> FileLosses::list() const {
  std::vector<model::FileLoss> losses;
  for (const auto& [path, causes] : files_) {
    model::FileLoss loss{
        .path = path, .subject = model::FileSubject::symbols, .count = 0, .why = {}};
    bool whole = false;
    for (const auto& [why, parts] : causes) {
      loss.why += (loss.why.empty() ? "" : "; ") + why;
      loss.count += parts;
      whole = whole || parts == 0;
    }
    if (whole) loss.count = 0;
    losses.push_back(std::move(loss));
  }
  return losses;
}

}  // namespace leaktrace::symbolize
