// SPDX-License-Identifier: Apache-2.0
#include "user/unwind/remote_tables.h"

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "user/base/message.h"
#include "user/unwind/table_check.h"

namespace leaktrace::unwind {
namespace {

constexpr std::uint32_t kRead = 1;  ///< the file ▶ why there is no table, or the table

template <typename Value>
void pack(Packer& packer, const std::vector<Value>& values) {
  packer.text({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(Value)});
}

template <typename Value>
bool unpack(Unpacker& body, std::vector<Value>& values) {
  const std::string bytes = body.text();
  values.resize(bytes.size() / sizeof(Value));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(Value));
  return bytes.size() % sizeof(Value) == 0;
}

void pack(Packer& packer, const Table& table) {
  packer.number(table.base);
  packer.number(table.described_ranges);
  packer.number(table.skipped_ranges);
  pack(packer, table.segments);
  pack(packer, table.pages);
  pack(packer, table.rules);
  pack(packer, table.rows);
}

/// False: it is no table.
bool unpack(Unpacker& body, Table& table) {
  table.base = body.number();
  table.described_ranges = body.number();
  table.skipped_ranges = body.number();
  const bool whole = unpack(body, table.segments) && unpack(body, table.pages) &&
                     unpack(body, table.rules) && unpack(body, table.rows);
  return whole && body.ok() && is_sound(table);
}

void serve(int socket) {
  for (;;) {
    auto question = receive_message(socket, {.takes_fds = true, .go_on = {}});
    if (!question || !*question || (*question)->fds.empty()) return;
    const auto table = read_table((*question)->fds.front().get());
    Packer answer;
    answer.text(table ? "" : table.error().what);
    if (table) pack(answer, *table);
    if (!send_message(socket, kRead, answer.bytes())) return;
  }
}

Unexpected about_process(const Error& error) {
  return fail("the process that reads it " + error.what);
}

}  // namespace

SandboxWork RemoteTables::work() {
  return {.name = "lt-unwind", .body = &serve};
}

Result<Table> RemoteTables::read(int fd) {
  worker_.renew();
  const auto answer = worker_.ask(kRead, {}, {&fd, 1});
  if (!answer) return about_process(answer.error());
  Unpacker body(answer->body);
  std::string why = body.text();
  if (body.ok() && !why.empty()) return fail(std::move(why));
  Table table;
  if (!unpack(body, table)) return about_process(worker_.refuse_answer().error);
  return table;
}

}  // namespace leaktrace::unwind
