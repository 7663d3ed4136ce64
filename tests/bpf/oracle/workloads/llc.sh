#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Generates machine code from LLVM's intermediate code.
. "$(dirname "$0")/sources.inc.sh"
write_sources all.cpp
clang++-14 -std=c++17 -O1 -emit-llvm -c all.cpp -o all.bc
while :; do
  llc-14 -O2 all.bc -o all.s
done
