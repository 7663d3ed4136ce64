// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/libpq_layout.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "user/tracer/accessor.h"

namespace leaktrace::tracer {
namespace {

/// What is larger is no offset in one of libpq's structures (they have some 1,000 bytes).
constexpr std::uint64_t kMostOffset = 4096;
constexpr std::uint64_t kMostStride = 4096;
constexpr unsigned kPointer = 8;

/// Offset of something of `size` bytes, with the alignment that a compiler gives it.
std::uint32_t plausible(std::optional<std::uint64_t> offset, std::uint64_t size) {
  if (!offset || *offset >= kMostOffset || *offset % size != 0) return LT_PG_NO_FIELD;
  return static_cast<std::uint32_t>(*offset);
}

constexpr lt_pg_string kNoString = {LT_PG_NO_FIELD, LT_PG_NO_FIELD, LT_PG_NO_FIELD, LT_PG_NO_FIELD};

bool same_array(const lt_pg_string& one, const lt_pg_string& other) {
  return one.array == other.array && one.index == other.index && one.stride == other.stride;
}
bool same_string(const lt_pg_string& one, const lt_pg_string& other) {
  return same_array(one, other) && one.field == other.field;
}

/// What one accessor function returns, in the terms of the layout.
class Returned {
 public:
  Returned(int fd, const ElfImage& image, std::string_view function) {
    const FunctionSymbol* symbol = find_function(image, function);
    if (symbol != nullptr) values_ = evaluate_accessor(fd, image, *symbol);
    // A value that is missing might be the very field, and the one that is left another.
    if (!values_.whole) values_.returned.clear();
    std::erase_if(values_.returned, [&](const LinearForm& value) { return is_no_field(value); });
  }

  /// The only field that is returned, of so many bytes.
  [[nodiscard]] std::uint32_t field(unsigned size) const {
    if (values_.returned.size() != 1) return LT_PG_NO_FIELD;
    return field_of(values_.returned[0], size);
  }

  /// The address of the only field that is returned.
  [[nodiscard]] std::uint32_t address() const {
    if (values_.returned.size() != 1) return LT_PG_NO_FIELD;
    return plausible(values_.beyond(values_.returned[0], Atom::Kind::argument), 1);
  }

  /// All strings, by their offset; none when something else is returned as well.
  [[nodiscard]] std::vector<lt_pg_string> strings() const {
    std::vector<lt_pg_string> found;
    for (const LinearForm& value : values_.returned) {
      const lt_pg_string string = string_of(value);
      if (string.field == LT_PG_NO_FIELD) return {};
      found.push_back(string);
    }
    std::ranges::sort(found, {}, &lt_pg_string::field);
    found.erase(std::unique(found.begin(), found.end(), same_string), found.end());
    return found;
  }

 private:
  // Constants and what else comes of no connection: "", a default; and the argument, where it has
  // been found to be null.
  [[nodiscard]] bool is_no_field(const LinearForm& value) const {
    if (value.terms.empty() || values_.beyond(value, Atom::Kind::image)) return true;
    if (values_.beyond(value, Atom::Kind::argument) == 0) return true;
    const Atom* atom = load_of(value, kPointer);
    return atom != nullptr && values_.beyond(atom->address, Atom::Kind::image).has_value();
  }

  [[nodiscard]] const Atom* load_of(const LinearForm& value, unsigned size) const {
    const Atom* atom = values_.atom_of(value);
    if (atom == nullptr || atom->kind != Atom::Kind::load || atom->size != size) return nullptr;
    return atom;
  }

  [[nodiscard]] std::uint32_t field_of(const LinearForm& value, unsigned size) const {
    const Atom* load = load_of(value, size);
    if (load == nullptr) return LT_PG_NO_FIELD;
    return plausible(values_.beyond(load->address, Atom::Kind::argument), size);
  }

  [[nodiscard]] lt_pg_string string_of(const LinearForm& value) const {
    lt_pg_string string = kNoString;
    string.field = field_of(value, kPointer);
    if (string.field != LT_PG_NO_FIELD) return string;
    const Atom* load = load_of(value, kPointer);
    return load == nullptr ? kNoString : entry_of(load->address);
  }

  // *(array) + *(index) * stride + field. A stride of 1 is none, so the array is the term with 1.
  [[nodiscard]] lt_pg_string entry_of(const LinearForm& address) const {
    if (address.terms.size() != 2) return kNoString;
    LinearForm::Term array = address.terms[0];
    LinearForm::Term index = address.terms[1];
    if (array.coefficient != 1) std::swap(array, index);
    const std::uint64_t stride = index.coefficient;
    if (array.coefficient != 1 || stride % kPointer != 0 || stride > kMostStride) return kNoString;
    const lt_pg_string found = {
        .field = plausible(address.constant, kPointer),
        .array = field_of({.constant = 0, .terms = {{array.atom, 1}}}, kPointer),
        .index = field_of({.constant = 0, .terms = {{index.atom, 1}}}, 4),
        .stride = static_cast<std::uint32_t>(stride)};
    const bool complete = found.array != LT_PG_NO_FIELD && found.index != LT_PG_NO_FIELD;
    return complete && found.field < found.stride ? found : kNoString;
  }

  AccessorValues values_;
};

bool is_in_array(const lt_pg_string& string) {
  return string.array != LT_PG_NO_FIELD;
}

/// Up to libpq 10, PQhost falls back on a field of the connection where an entry has no host.
void prefer_arrays(std::vector<lt_pg_string>& strings) {
  if (std::ranges::none_of(strings, is_in_array)) return;
  std::erase_if(strings, [](const lt_pg_string& one) { return !is_in_array(one); });
}

struct Address {
  lt_pg_string host = kNoString;
  lt_pg_string host_address = kNoString;
  lt_pg_string port = kNoString;
};

/// In entries of hosts: host, hostaddr (from 11 on), port, in this order.
Address address_in_array(const std::vector<lt_pg_string>& hosts, const lt_pg_string& port) {
  const bool alike = std::ranges::all_of(hosts, [&](const lt_pg_string& one) {
    return same_array(one, port) && one.field < port.field;
  });
  if (!alike || hosts.size() > 2) return {};
  return {hosts[0], hosts.size() == 2 ? hosts[1] : kNoString, port};
}

/// Before libpq 10: pghost, pghostaddr, pgport, pgunixsocket, in this order; PQhost returns the
/// first or the last.
Address address_in_connection(const std::vector<lt_pg_string>& hosts, const lt_pg_string& port) {
  if (is_in_array(port) || hosts.size() > 2 || hosts[0].field >= port.field) return {};
  if (hosts.size() == 2 && hosts[1].field < port.field) return {};
  return {hosts[0], kNoString, port};
}

Address address_of(const Returned& host, const Returned& port) {
  std::vector<lt_pg_string> hosts = host.strings();
  std::vector<lt_pg_string> ports = port.strings();
  prefer_arrays(hosts);
  prefer_arrays(ports);
  if (hosts.empty() || ports.size() != 1) return {};
  return is_in_array(hosts[0]) ? address_in_array(hosts, ports[0])
                               : address_in_connection(hosts, ports[0]);
}

lt_pg_string string_in_connection(std::uint32_t field) {
  lt_pg_string string = kNoString;
  string.field = field;
  return string;
}

}  // namespace

std::optional<lt_pg_layout> libpq_layout(int fd, const ElfImage& image) {
  if (find_function(image, "PQresultStatus") == nullptr) return std::nullopt;
  if (find_function(image, "PQcmdStatus") == nullptr) return std::nullopt;
  const auto returned = [&](std::string_view function) { return Returned(fd, image, function); };
  lt_pg_layout layout{};
  layout.result_status = returned("PQresultStatus").field(4);
  layout.result_tag = returned("PQcmdStatus").address();
  layout.result_memory = returned("PQresultMemorySize").field(8);
  layout.connection_status = returned("PQstatus").field(4);
  layout.transaction = returned("PQtransactionStatus").field(4);
  layout.pipeline = returned("PQpipelineStatus").field(4);
  const Address address = address_of(returned("PQhost"), returned("PQport"));
  layout.strings[LT_PG_HOST] = address.host;
  layout.strings[LT_PG_HOSTADDR] = address.host_address;
  layout.strings[LT_PG_PORT] = address.port;
  layout.strings[LT_PG_DATABASE] = string_in_connection(returned("PQdb").field(8));
  layout.strings[LT_PG_USER] = string_in_connection(returned("PQuser").field(8));
  return layout;
}

}  // namespace leaktrace::tracer
