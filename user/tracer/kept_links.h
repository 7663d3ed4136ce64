// SPDX-License-Identifier: Apache-2.0
// The process of a LinkKeeper.
#pragma once

#include "user/base/unique_fd.h"
#include "user/tracer/link_protocol.h"

namespace leaktrace::tracer {

/// Serves until one of the sockets is closed at the other end, takes all probes away, and exits. In
/// a process that was just forked: gives up everything else that it has.
[[noreturn]] void keep_links(UniqueFd requests, UniqueFd orders, KeeperState& state,
                             bool precedence);

}  // namespace leaktrace::tracer
