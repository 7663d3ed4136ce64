/* SPDX-License-Identifier: Apache-2.0 */
#include "stack_truth.h"

void exported_entry(unsigned long count);

int main(int argc, char** argv) {
  struct testprog self = testprog_begin(argc, argv, 20);
  exported_entry(self.count);
  return testprog_end(&self);
}
