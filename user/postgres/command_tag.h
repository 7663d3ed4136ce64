// SPDX-License-Identifier: Apache-2.0
// Command tags: the server's own word of what a statement was ("DECLARE CURSOR", "SELECT 3").
#pragma once

#include <string_view>

#include "user/postgres/sql.h"

namespace leaktrace::postgres {

/// What a tag alone says. "ROLLBACK" is also the tag of ROLLBACK TO, and of a COMMIT that could
/// only roll back. A tag that is not known is an `other`.
[[nodiscard]] Verb verb_of_tag(std::string_view tag);

/// Can the statement have this tag? Servers other than PostgreSQL's differ within a family. An
/// empty tag, which could not be read, agrees with all.
[[nodiscard]] bool agrees(Verb statement, std::string_view tag);

}  // namespace leaktrace::postgres
