// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace leaktrace::symbolize {

/// Answers what RemoteSymbolizer asks over `socket` until that is closed. For a process that may
/// open no file itself: from the first call on, open_foreign() asks over the socket.
void serve_symbols(int socket);

}  // namespace leaktrace::symbolize
