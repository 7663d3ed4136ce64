// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/symbolize/one_input.h"

#include <sys/mman.h>
#include <unistd.h>

#include "user/symbolize/local_symbolizer.h"

namespace leaktrace::symbolize::test {

void look_up_all_over(const std::uint8_t* bytes, std::size_t size) {
  UniqueFd fd(::memfd_create("damaged", MFD_CLOEXEC));
  for (std::size_t done = 0; done < size;) {
    const ssize_t n = ::write(fd.get(), bytes + done, size - done);
    if (n <= 0) return;
    done += static_cast<std::size_t>(n);
  }
  constexpr model::ModuleId kModule{1};
  LocalSymbolizer symbolizer;
  symbolizer.add_module({kModule, "/damaged", "", std::move(fd), {}});
  // The fixtures' code lies in the first pages, or from 4 MiB on.
  for (std::uint64_t base : {std::uint64_t{0}, std::uint64_t{0x400000}}) {
    for (std::uint64_t at = 0; at < 0x4000; at += 97) {
      (void)symbolizer.look_up(kModule, base + at);
    }
  }
}

}  // namespace leaktrace::symbolize::test
