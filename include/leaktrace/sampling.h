/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * The arithmetic of sampling by bytes, in integers, the same for BPF programs and user space.
 *
 * A block of S bytes is taken with the chance p = 1 - e^(-x), x = S / interval, as if points were
 * strewn over all bytes, one in `interval` on average and each wherever chance has it. It then
 * stands for 1/p blocks and S/p bytes, which makes sums over what was taken unbiased (Horvitz and
 * Thompson, 1952), and adds (1 - p) / p^2 times the square of what one counts to their variance.
 *
 * Fixed-point numbers are named by their binary places: x_q30 is x * 2^30.
 */
#ifndef LEAKTRACE_SAMPLING_H
#define LEAKTRACE_SAMPLING_H

#include "leaktrace/abi.h"

#ifdef __bpf__
#define LT_INLINE static __always_inline
#else
#define LT_INLINE static inline
#endif

#define LT_Q30 (1ULL << 30)
#define LT_LN2_Q30 744261118ULL
/* Above it, products of 64 bits would overflow. */
#define LT_LARGEST_INTERVAL (1ULL << 33)
/* From here on 1 - p is below 2^-32, and the block is as good as taken for certain. */
#define LT_SAMPLING_CERTAIN_X 22

/* What a block that was taken stands for. */
struct lt_sampling_weight {
  __u64 count;          /* 1/p, in 1/LT_COUNT_UNIT */
  __u64 bytes;          /* S/p */
  __u64 count_variance; /* (1 - p) / p^2 */
  __u64 bytes_variance; /* S^2 (1 - p) / p^2, in units of interval^2 / 2^LT_VARIANCE_SHIFT */
};

LT_INLINE __u64 lt_mul_q30(__u64 a_q30, __u64 b_q30) {
  return (a_q30 * b_q30) >> 30;
}

/* -ln(u / 2^32) for u in 1..2^32. The mantissa's logarithm is that of (1+z)/(1-z), whose series in
 * z <= 1/3 is cut where its terms are below 2^-22. */
LT_INLINE __u64 lt_minus_log_q30(__u64 u) {
  __u32 exponent = 0;
  __u64 rest = u;
  if (rest >> 32) return 0;
  if (rest >> 16) exponent += 16, rest >>= 16;
  if (rest >> 8) exponent += 8, rest >>= 8;
  if (rest >> 4) exponent += 4, rest >>= 4;
  if (rest >> 2) exponent += 2, rest >>= 2;
  if (rest >> 1) exponent += 1;
  __u64 fraction = (u << (32 - exponent)) - (1ULL << 32); /* in 2^-32 */
  __u64 z = (fraction << 30) / ((1ULL << 33) + fraction);
  __u64 zz = lt_mul_q30(z, z);
  __u64 series = LT_Q30 / 13;
  series = lt_mul_q30(series, zz) + LT_Q30 / 11;
  series = lt_mul_q30(series, zz) + LT_Q30 / 9;
  series = lt_mul_q30(series, zz) + LT_Q30 / 7;
  series = lt_mul_q30(series, zz) + LT_Q30 / 5;
  series = lt_mul_q30(series, zz) + LT_Q30 / 3;
  series = lt_mul_q30(series, zz) + LT_Q30;
  return (32 - exponent) * LT_LN2_Q30 - 2 * lt_mul_q30(z, series);
}

/* Bytes up to the next point, at least 1: exponentially distributed, made of a random number. */
LT_INLINE __u64 lt_sampling_distance(__u32 random, __u64 interval) {
  __u64 x = lt_minus_log_q30((__u64)random + 1);
  __u64 bytes = interval * (x >> 30) + ((interval * (x & (LT_Q30 - 1))) >> 30);
  return bytes + 1;
}

/* e^(-x) for x below LT_SAMPLING_CERTAIN_X: halved as often as ln 2 fits, and a series of what is
 * left. */
LT_INLINE __u64 lt_exp_minus_q30(__u64 x_q30) {
  __u64 halvings = x_q30 / LT_LN2_Q30;
  __u64 r = x_q30 % LT_LN2_Q30;
  __u64 series = LT_Q30;
  series = LT_Q30 - lt_mul_q30(series, r) / 9;
  series = LT_Q30 - lt_mul_q30(series, r) / 8;
  series = LT_Q30 - lt_mul_q30(series, r) / 7;
  series = LT_Q30 - lt_mul_q30(series, r) / 6;
  series = LT_Q30 - lt_mul_q30(series, r) / 5;
  series = LT_Q30 - lt_mul_q30(series, r) / 4;
  series = LT_Q30 - lt_mul_q30(series, r) / 3;
  series = LT_Q30 - lt_mul_q30(series, r) / 2;
  series = LT_Q30 - lt_mul_q30(series, r);
  return series >> (halvings & 63);
}

/* x / (1 - e^(-x)): below 1 by its series (the numbers of Bernoulli), where the quotient would lose
 * its digits. */
LT_INLINE __u64 lt_sampling_ratio_q30(__u64 x_q30) {
  if (x_q30 >= LT_Q30) {
    __u64 chance = LT_Q30 - lt_exp_minus_q30(x_q30);
    return (x_q30 << 24) / (chance >> 6);
  }
  __u64 xx = lt_mul_q30(x_q30, x_q30);
  __u64 series = LT_Q30 / 12 - lt_mul_q30(xx, LT_Q30 / 720 - xx / 30240);
  return LT_Q30 + x_q30 / 2 + lt_mul_q30(xx, series);
}

/* What a block of `size` bytes stands for that was taken with this interval (1 ..
 * LT_LARGEST_INTERVAL). A block of no bytes is sampled as if it had one. */
LT_INLINE struct lt_sampling_weight lt_weigh_sample(__u64 size, __u64 interval) {
  struct lt_sampling_weight weight = {LT_COUNT_UNIT, size, 0, 0};
  __u64 s = size ? size : 1;
  __u64 whole = s / interval;
  if (whole >= LT_SAMPLING_CERTAIN_X) return weight;
  __u64 x = (whole << 30) + ((s % interval) << 30) / interval;
  __u64 ratio = lt_sampling_ratio_q30(x); /* (S/p) / interval */
  __u64 bytes = interval * (ratio >> 30) + ((interval * (ratio & (LT_Q30 - 1)) + LT_Q30 / 2) >> 30);
  weight.count = ((interval * (ratio >> 8)) / s + (1 << 5)) >> 6;
  weight.bytes = size ? bytes : 0;

  __u64 above = ratio > x ? ratio - x : 0;
  if (size) weight.bytes_variance = ((ratio >> 15) * (above >> 15)) >> (30 - LT_VARIANCE_SHIFT);
  __u64 more = weight.count > LT_COUNT_UNIT ? weight.count - LT_COUNT_UNIT : 0;
  /* Times 2^-32 in all; cut so that a thousand of the largest can be added up. */
  __u64 most = 1ULL << 43;
  __u64 times = weight.count < most ? weight.count : most;
  if (more > most) more = most;
  weight.count_variance = times >> 32 ? (times >> 16) * (more >> 16) : (times * more) >> 32;
  return weight;
}

#endif /* LEAKTRACE_SAMPLING_H */
