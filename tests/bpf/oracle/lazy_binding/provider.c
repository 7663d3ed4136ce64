// SPDX-License-Identifier: Apache-2.0
int provided(int value) {
  return value + 1;
}
