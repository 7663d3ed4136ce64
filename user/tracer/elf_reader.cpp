// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/elf_reader.h"

#include <utility>

#include "user/tracer/libpq_layout.h"

namespace leaktrace::tracer {

Result<ElfContents> ElfReader::read(int fd, std::span<const std::string> wanted) {
  auto image = ElfImage::read(fd, wanted);
  if (!image) return ElfContents{.image = {}, .not_elf = image.error().what, .python = {}};
  ElfContents contents{.image = std::move(*image), .not_elf = {}, .python = {}};
  if (find_function(contents.image, kPythonEvaluation) != nullptr) {
    contents.python = read_python_image(fd);
  }
  return contents;
}

Result<std::vector<HookPlace>> ElfReader::find_places(int fd, const ElfImage& image,
                                                      std::span<const HookRequest> requests,
                                                      const ClassSet& emulated) {
  std::vector<SiteRequest> sites;
  for (const HookRequest& request : requests) sites.push_back(request.site);
  std::vector<HookPlace> places;
  for (ProbeSite& site : choose_sites(fd, image, sites, emulated)) {
    places.push_back({.site = std::move(site), .exits = {}, .declined = {}});
  }
  std::optional<Result<ExitFinder>> finder;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    if (!requests[i].exits) continue;
    if (!finder) finder = ExitFinder::open(fd, image, emulated);
    if (*finder) {
      places[i].exits = (*finder)->find(requests[i].site.function);
    } else {
      places[i].exits.declined = finder->error().what;
    }
  }
  return places;
}

std::optional<lt_pg_layout> ElfReader::find_libpq_layout(int fd, const ElfImage& image) {
  return libpq_layout(fd, image);
}

}  // namespace leaktrace::tracer
