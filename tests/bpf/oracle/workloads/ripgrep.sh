#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Searches the system's headers with many patterns.
while :; do
  rg -j 2 'struct \w+_ops' /usr/include
  rg -i --no-ignore --stats '(foo|bar)+baz|[a-z]{20,}' /usr/include/c++
  rg -P '(?<=int )\w+\(' /usr/include
  rg --json -w size_t /usr/include/x86_64-linux-gnu
  rg --files -g '*.h' --sort path /usr/include
done
