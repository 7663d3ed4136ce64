// SPDX-License-Identifier: Apache-2.0
// Links of programs to functions, made by the system calls themselves: with nothing but descriptors
// at hand.
#pragma once

#include <sys/types.h>

#include <vector>

#include "user/base/result.h"
#include "user/base/unique_fd.h"
#include "user/tracer/link_keeper.h"

namespace leaktrace::tracer {

/// Attaches; 0, or an errno. `links` gets the descriptors, in the order in which they are to be
/// closed. The program must have been loaded for that kind.
[[nodiscard]] int create_uprobe_links(const LinkRequest& request, std::vector<UniqueFd>& links);

}  // namespace leaktrace::tracer
