#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Reads symbols and debug information of itself and of libc, disassembles, runs its Python.
while :; do
  gdb -nx -batch -ex 'info functions ^str' -ex 'info types ^[a-f]' -ex 'disassemble main' \
    -ex 'python import json; print(json.dumps([str(gdb.lookup_type("int"))] * 20))' \
    -ex 'print sizeof(int) * 3 + 4' -ex 'info scope main' -ex 'list main' /usr/bin/python3.11
  gdb -nx -batch -ex 'info functions .alloc' -ex 'info line malloc' -ex 'disassemble free' \
    -ex 'info types .' /lib/x86_64-linux-gnu/libc.so.6
done
