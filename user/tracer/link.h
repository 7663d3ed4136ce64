// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bpf/libbpf.h>

#include <memory>

namespace leaktrace::tracer {

struct LinkDeleter {
  void operator()(bpf_link* link) const { bpf_link__destroy(link); }
};
/// Owns an attached probe; detaches it.
using Link = std::unique_ptr<bpf_link, LinkDeleter>;

}  // namespace leaktrace::tracer
