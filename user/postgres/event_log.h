// SPDX-License-Identifier: Apache-2.0
// Events as lines of text, for people and for tests that replay what was seen of a real server:
//
//   command at=1200 image=1 connection=0x5581 stack=0x9f kind=query text="BEGIN" from_start
//   result at=1300 image=1 connection=0x5581 status=command_ok text="BEGIN" from_start
//   done at=1310 image=1 connection=0x5581 transaction=in_transaction from_start
//
// First the type, then words `key=value` in any order; those that have their default value are left
// out. Numbers are decimal or 0x hexadecimal. Enumerators are called as in event.h; one that it
// does not have is its number. Texts are in quotes: \" \\ \n \r \t, and \xHH for other control
// characters and for bytes that are no UTF-8. A flag (cut unannounced broken pipeline lost
// from_start) is set when its word is there.
#pragma once

#include <string>
#include <string_view>

#include "user/base/result.h"
#include "user/postgres/event.h"

namespace leaktrace::postgres {

/// One line, without its end.
[[nodiscard]] std::string to_line(const Event& event);

/// The event of a line, exactly as it was; or what is wrong with the line.
[[nodiscard]] Result<Event> from_line(std::string_view line);

}  // namespace leaktrace::postgres
