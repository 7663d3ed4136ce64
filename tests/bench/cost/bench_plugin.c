/* SPDX-License-Identifier: Apache-2.0 */
/* A library of a hundred functions, to be copied and loaded hundreds of times. */
#define FUNCTION(number)                                                     \
  int plugin_##number(int depth);                                            \
  __attribute__((noipa)) int plugin_##number(int depth) {                    \
    int values[16] = {number, depth};                                        \
    for (int i = 2; i < 16; ++i) values[i] = values[i - 2] * depth + i;      \
    return depth > 0 ? plugin_##number(depth - 1) + values[15] : values[14]; \
  }
#define TEN(tens)   \
  FUNCTION(tens##0) \
  FUNCTION(tens##1) \
  FUNCTION(tens##2) \
  FUNCTION(tens##3) \
  FUNCTION(tens##4) \
  FUNCTION(tens##5) FUNCTION(tens##6) FUNCTION(tens##7) FUNCTION(tens##8) FUNCTION(tens##9)

TEN(1)
TEN(2)
TEN(3)
TEN(4)
TEN(5)
TEN(6)
TEN(7)
TEN(8)
TEN(9)
