// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <optional>

#include "leaktrace/pg_abi.h"
#include "user/tracer/elf_image.h"

namespace leaktrace::tracer {

/// The functions of libpq that tell where it keeps things: an image is to be read with these names
/// among the wanted ones.
inline constexpr std::array kLibpqAccessors = {"PQresultStatus",
                                               "PQcmdStatus",
                                               "PQresultMemorySize",
                                               "PQstatus",
                                               "PQtransactionStatus",
                                               "PQpipelineStatus",
                                               "PQhost",
                                               "PQport",
                                               "PQdb",
                                               "PQuser"};

/// Where the libpq in a file (the library itself, or a program that it is linked into) keeps what
/// is read of its objects, found in the machine code of its accessor functions, which is not
/// executed. Nothing when the file does not define PQresultStatus and PQcmdStatus. A field is
/// LT_PG_NO_FIELD unless the code leaves no doubt about it.
///
/// Of the entries of several hosts the password is one field, next to the port. Only what PQhost
/// and PQport return is ever named here.
[[nodiscard]] std::optional<lt_pg_layout> libpq_layout(int fd, const ElfImage& image);

}  // namespace leaktrace::tracer
