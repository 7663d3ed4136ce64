# SPDX-License-Identifier: Apache-2.0
"""Medians, quartiles and intervals."""

import math
import statistics

# Student's t at 97.5 %, for 1 to 30 degrees of freedom (any table of it).
_T975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
         2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
         2.052, 2.048, 2.045, 2.042)


def median(values):
    return statistics.median(values) if values else math.nan


def percentile(values, share):
    """By linear interpolation; `share` is 0 to 1."""
    ordered = sorted(values)
    if not ordered:
        return math.nan
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def quartiles(values):
    return percentile(values, 0.25), percentile(values, 0.75)


def mean_interval(values):
    """The mean, and half the width of its 95 % interval (Student's t)."""
    if not values:
        return math.nan, math.nan
    if len(values) == 1:
        return values[0], math.inf
    freedom = len(values) - 1
    t = _T975[freedom - 1] if freedom <= len(_T975) else 1.96
    return statistics.mean(values), t * statistics.stdev(values) / math.sqrt(len(values))


def ratios(values, bases):
    """Round by round: a round's value by the same round's base."""
    return [value / base for value, base in zip(values, bases) if base]
