# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks of scripts/bench share."""
