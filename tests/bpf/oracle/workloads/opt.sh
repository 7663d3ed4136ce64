#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Optimizes LLVM's intermediate code.
. "$(dirname "$0")/sources.inc.sh"
write_sources all.cpp
clang++-14 -std=c++17 -O2 -Xclang -disable-llvm-passes -emit-llvm -c all.cpp -o all.bc
while :; do
  opt-14 -O2 all.bc -o optimized.bc
done
