// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/place_check.h"

#include <elf.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "user/tracer/file_bytes.h"

namespace leaktrace::tracer {
namespace {

constexpr std::size_t kLongestInstruction = 15;
/// The cookie of a probe has 16 bits for it (LT_COOKIE_PUSHED).
constexpr std::uint32_t kMostPushed = 0xffff;
constexpr std::size_t kMostHeaders = 4096;
constexpr std::size_t kMostReturns = 64;

using Bytes = std::span<const std::uint8_t>;

bool is_return(Machine machine, Bytes code) {
  if (machine == Machine::arm64) return classify(machine, code) == InstructionClass::a64_ret;
  // bnd and repz before it, and a number of bytes to pop behind it.
  if (code.size() > 1 && (code[0] == 0xf2 || code[0] == 0xf3)) code = code.subspan(1);
  return (code.size() == 1 && code[0] == 0xc3) || (code.size() == 3 && code[0] == 0xc2);
}

bool is_near(std::uint64_t offset, std::size_t size, std::uint64_t entry) {
  return offset >= entry && offset - entry < kMostSiteBytes && size <= kLongestInstruction;
}

/// The bytes at the site are an instruction as it says.
bool is_as_claimed(const ProbeSite& site, int fd, const ElfImage& image, Machine machine,
                   const ClassSet& emulated, bool returns) {
  if (site.size > kLongestInstruction || !is_in_code(image.segments, site.offset, site.size)) {
    return false;
  }
  const auto code = read_bytes(fd, site.offset, site.size);
  if (code.size() < site.size || classify(machine, code) != site.of_class) return false;
  if (returns && !is_return(machine, code)) return false;
  return !site.emulated || contains(emulated, site.of_class);
}

}  // namespace

std::vector<ElfImage::Segment> read_load_segments(int fd) {
  std::vector<ElfImage::Segment> segments;
  Elf64_Ehdr file{};
  const auto head = read_bytes(fd, 0, sizeof(file));
  if (head.size() < sizeof(file)) return segments;
  std::memcpy(&file, head.data(), sizeof(file));
  const bool readable = std::memcmp(file.e_ident, ELFMAG, SELFMAG) == 0 &&
                        file.e_ident[EI_CLASS] == ELFCLASS64 &&
                        file.e_ident[EI_DATA] == ELFDATA2LSB &&
                        file.e_phentsize == sizeof(Elf64_Phdr) && file.e_phnum <= kMostHeaders;
  if (!readable) return segments;
  const auto table = read_bytes(fd, file.e_phoff, file.e_phnum * sizeof(Elf64_Phdr));
  for (std::size_t at = 0; at + sizeof(Elf64_Phdr) <= table.size(); at += sizeof(Elf64_Phdr)) {
    Elf64_Phdr header{};
    std::memcpy(&header, table.data() + at, sizeof(header));
    if (header.p_type != PT_LOAD) continue;
    segments.push_back(
        {header.p_offset, header.p_vaddr, header.p_filesz, (header.p_flags & PF_X) != 0});
  }
  return segments;
}

bool is_in_code(std::span<const ElfImage::Segment> segments, std::uint64_t offset,
                std::size_t size) {
  return std::ranges::any_of(segments, [&](const ElfImage::Segment& segment) {
    return segment.executable && offset >= segment.file_offset &&
           offset - segment.file_offset < segment.file_size &&
           size <= segment.file_size - (offset - segment.file_offset);
  });
}

bool is_sound(const HookPlace& place, const HookRequest& request, int fd, const ElfImage& image,
              const ClassSet& emulated) {
  const ProbeSite& site = place.site;
  const std::uint64_t entry = request.site.function.file_offset;
  const auto machine = machine_of(image.machine);
  if (site.entry != entry || !is_near(site.offset, site.size, entry)) return false;
  if (site.pushed > kMostPushed || site.passed_over.size() > kMostSiteBytes) return false;
  const bool passed = std::ranges::all_of(site.passed_over, [&](const PassedOver& one) {
    return is_near(one.offset, one.size, entry);
  });
  if (!passed || place.exits.returns.size() > kMostReturns) return false;
  if (!machine || site.size == 0) {  // not decoded
    return site.offset == entry && !site.emulated && place.exits.returns.empty();
  }
  return is_as_claimed(site, fd, image, *machine, emulated, false) &&
         std::ranges::all_of(place.exits.returns, [&](const ProbeSite& exit) {
           return exit.entry == exit.offset && exit.passed_over.empty() && exit.pushed == 0 &&
                  is_as_claimed(exit, fd, image, *machine, emulated, true);
         });
}

}  // namespace leaktrace::tracer
