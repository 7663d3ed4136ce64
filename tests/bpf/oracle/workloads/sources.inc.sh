#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# C++ for the compiler workloads to chew on, the same each time.
write_sources() { # FILE
  cat >"$1" <<'END'
#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <regex>
#include <sstream>
#include <string>
#include <unordered_map>
#include <vector>
END
  local i
  for i in $(seq 1 25); do
    cat >>"$1" <<END
struct Node$i { int key; std::string name; std::unique_ptr<Node$i> left, right; };
int depth$i(const Node$i* node) {
  return node ? 1 + std::max(depth$i(node->left.get()), depth$i(node->right.get())) : 0;
}
std::string render$i(const std::map<std::string, std::vector<int>>& table, int skip) {
  std::ostringstream out;
  for (const auto& [name, numbers] : table) {
    out << name << ':';
    for (int number : numbers) {
      if (number % $((i + 1)) == skip) continue;
      switch (number & 7) {
        case 0: out << number * $i; break;
        case 1: out << number + $i; break;
        case 2: out << std::hex << number; break;
        case 5: out << std::dec << number / 3.0; break;
        default: out << ' ';
      }
    }
  }
  return std::regex_replace(out.str(), std::regex("a$i+b*"), "c");
}
std::function<long(long)> compose$i(std::vector<std::function<long(long)>> steps) {
  std::sort(steps.begin(), steps.end(), [](auto& a, auto& b) { return a(1) < b(1); });
  return [steps](long value) { for (auto& step : steps) value = step(value) ^ $i; return value; };
}
END
  done
}
