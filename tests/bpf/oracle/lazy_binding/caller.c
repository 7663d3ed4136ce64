// SPDX-License-Identifier: Apache-2.0
int provided(int value);

int calls_lazily(int value) {
  return provided(value) + provided(value + 1);
}
