// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/elf_messages.h"

#include <cstddef>
#include <string>
#include <utility>

namespace leaktrace::tracer {
namespace {

void pack(Packer& packer, const FunctionSymbol& function) {
  packer.text(function.name);
  packer.number(function.file_offset);
  packer.number(function.size);
}

FunctionSymbol unpack_function(Unpacker& body) {
  FunctionSymbol function;
  function.name = body.text();
  function.file_offset = body.number();
  function.size = body.number();
  return function;
}

void pack(Packer& packer, const std::string& text) {
  packer.text(text);
}

void pack(Packer& packer, const ElfImage::Segment& segment) {
  packer.number(segment.file_offset);
  packer.number(segment.address);
  packer.number(segment.file_size);
  packer.number(segment.executable ? 1 : 0);
}

ElfImage::Segment unpack_segment(Unpacker& body) {
  ElfImage::Segment segment;
  segment.file_offset = body.number();
  segment.address = body.number();
  segment.file_size = body.number();
  segment.executable = body.number() != 0;
  return segment;
}

void pack(Packer& packer, const PassedOver& one) {
  packer.number(one.offset);
  packer.number(one.size);
  packer.text(one.instruction);
  packer.text(one.why);
}

PassedOver unpack_passed_over(Unpacker& body) {
  PassedOver one;
  one.offset = body.number();
  one.size = body.number();
  one.instruction = body.text();
  one.why = body.text();
  return one;
}

void pack(Packer& packer, const ProbeSite& site);

template <typename Value>
void pack_list(Packer& packer, const std::vector<Value>& values) {
  packer.number(values.size());
  for (const Value& value : values) pack(packer, value);
}

template <typename Unpack>
auto unpack_list(Unpacker& body, Unpack unpack) {
  std::vector<decltype(unpack(body))> values;
  const std::size_t count = body.count();
  for (std::size_t i = 0; i < count && body.ok(); ++i) values.push_back(unpack(body));
  return values;
}

std::string unpack_text(Unpacker& body) {
  return body.text();
}

void pack(Packer& packer, const ProbeSite& site) {
  packer.number(site.entry);
  packer.number(site.offset);
  packer.number(site.size);
  packer.number(static_cast<std::uint64_t>(site.of_class));
  packer.text(site.instruction);
  packer.number(site.emulated ? 1 : 0);
  packer.number(site.pushed);
  pack_list(packer, site.passed_over);
  packer.text(site.why_entry);
}

ProbeSite unpack_site(Unpacker& body) {
  ProbeSite site;
  site.entry = body.number();
  site.offset = body.number();
  site.size = body.number();
  site.of_class = static_cast<InstructionClass>(body.number());
  site.instruction = body.text();
  site.emulated = body.number() != 0;
  site.pushed = static_cast<std::uint32_t>(body.number());
  site.passed_over = unpack_list(body, unpack_passed_over);
  site.why_entry = body.text();
  return site;
}

void pack(Packer& packer, const LibraryMarks& marks) {
  packer.text(marks.soname);
  for (const bool mark :
       {marks.start_main, marks.glibc, marks.fork, marks.int_malloc, marks.malloc_hook, marks.go}) {
    packer.number(mark ? 1 : 0);
  }
}

LibraryMarks unpack_marks(Unpacker& body) {
  LibraryMarks marks;
  marks.soname = body.text();
  for (bool* mark : {&marks.start_main, &marks.glibc, &marks.fork, &marks.int_malloc,
                     &marks.malloc_hook, &marks.go}) {
    *mark = body.number() != 0;
  }
  return marks;
}

}  // namespace

void pack(Packer& packer, const ElfImage& image) {
  packer.text(image.build_id);
  packer.number(image.machine);
  packer.number(image.entry_offset);
  packer.number(image.imports_malloc ? 1 : 0);
  pack(packer, image.marks);
  pack_list(packer, image.imports);
  packer.number(image.loader_state);
  pack_list(packer, image.segments);
  pack_list(packer, image.functions);
  pack_list(packer, image.allocators);
}

ElfImage unpack_image(Unpacker& body) {
  ElfImage image;
  image.build_id = body.text();
  image.machine = static_cast<std::uint16_t>(body.number());
  image.entry_offset = body.number();
  image.imports_malloc = body.number() != 0;
  image.marks = unpack_marks(body);
  image.imports = unpack_list(body, unpack_text);
  image.loader_state = body.number();
  image.segments = unpack_list(body, unpack_segment);
  image.functions = unpack_list(body, unpack_function);
  image.allocators = unpack_list(body, unpack_function);
  return image;
}

void pack(Packer& packer, const ElfContents& contents) {
  packer.text(contents.not_elf);
  pack(packer, contents.image);
  pack_plain(packer, contents.python);
}

ElfContents unpack_contents(Unpacker& body) {
  ElfContents contents;
  contents.not_elf = body.text();
  contents.image = unpack_image(body);
  contents.python = unpack_plain<PythonImage>(body);
  return contents;
}

void pack(Packer& packer, std::span<const HookRequest> requests) {
  packer.number(requests.size());
  for (const HookRequest& request : requests) {
    pack(packer, request.site.function);
    packer.number(request.site.needs.arguments);
    packer.number(request.site.needs.stack_pointer ? 1 : 0);
    packer.number(request.exits ? 1 : 0);
  }
}

std::vector<HookRequest> unpack_requests(Unpacker& body) {
  return unpack_list(body, [](Unpacker& from) {
    HookRequest request;
    request.site.function = unpack_function(from);
    request.site.needs.arguments = static_cast<std::uint32_t>(from.number());
    request.site.needs.stack_pointer = from.number() != 0;
    request.exits = from.number() != 0;
    return request;
  });
}

void pack(Packer& packer, std::span<const HookPlace> places) {
  packer.number(places.size());
  for (const HookPlace& place : places) {
    pack(packer, place.site);
    pack_list(packer, place.exits.returns);
    packer.text(place.exits.declined);
    packer.text(place.declined);
  }
}

std::vector<HookPlace> unpack_places(Unpacker& body) {
  return unpack_list(body, [](Unpacker& from) {
    HookPlace place;
    place.site = unpack_site(from);
    place.exits.returns = unpack_list(from, unpack_site);
    place.exits.declined = from.text();
    place.declined = from.text();
    return place;
  });
}

}  // namespace leaktrace::tracer
