#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A server with snapshots, scripts and append-only file, under its own benchmark, over a socket.
redis-server --port 0 --unixsocket socket --appendonly yes --save 1 1 --daemonize no &
server=$!
trap 'kill $server; wait; exit 0' TERM
until [ -S socket ]; do sleep 0.1; done
while :; do
  redis-benchmark -s socket -q -n 20000 -c 10 -r 5000 -d 60 &
  wait $!
  redis-benchmark -s socket -q -n 2000 -c 5 eval 'local t = {}; for i = 1, 20 do t[i] = tostring(i) end; return redis.call("rpush", KEYS[1], unpack(t))' 1 list:__rand_int__ &
  wait $!
  redis-cli -s socket bgrewriteaof &
  wait $!
done
