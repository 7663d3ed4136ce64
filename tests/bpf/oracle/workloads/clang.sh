#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Compiles C++ with optimization and debug information, again and again.
. "$(dirname "$0")/sources.inc.sh"
write_sources all.cpp
while :; do
  clang++-14 -std=c++17 -O2 -g -c all.cpp -o all.o
done
