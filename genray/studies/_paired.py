"""Paired tests of a few seeds: Student's t on the differences, the exact sign flip beside it, and Holm's correction."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from statistics import fmean, stdev

from scipy.special import stdtr  # scipy.stats takes two seconds to import

LEVEL = 0.05  # of all questions of a study together

# all p-values are for the differences of pairs, one a seed; with one pair nothing is known, and p is 1


def two_sided_p(differences: Sequence[float]) -> float:
    """Of Student's paired t: that the mean difference is 0. Has no least value; takes differences to be normal."""
    return 2 * min(_not_above_p(differences), _not_above_p([-d for d in differences]))


def equivalence_p(differences: Sequence[float], margins: Sequence[float]) -> float:
    """That the mean difference lies at or beyond ± the mean margin: the larger p of two one-sided t tests (Schuirmann
    1987). Each is of contrasts, a pair's margin plus or less its difference, so that the margin's own error counts."""
    inside = [[m + sign * d for d, m in zip(differences, margins, strict=True)] for sign in (1, -1)]
    return max(map(_not_above_p, inside))


def beyond_p(differences: Sequence[float], margins: Sequence[float]) -> float:
    """That the mean difference lies within ± the mean margin: the smaller p of the same contrasts the other way round,
    doubled for two ends."""
    outside = [[sign * d - m for d, m in zip(differences, margins, strict=True)] for sign in (1, -1)]
    return min(1.0, 2 * min(map(_not_above_p, outside)))


def sign_flip_p(differences: Sequence[float]) -> float:
    """The share of all 2^n signs that give a mean at least as far from 0 (Fisher 1935): exact, whatever the
    distribution, but never below `smallest_flip_p`."""
    observed = abs(fmean(differences))
    signs = product((1, -1), repeat=len(differences))
    means = [abs(fmean([s * d for s, d in zip(sign, differences, strict=True)])) for sign in signs]
    return fmean([mean >= observed * (1 - 1e-9) for mean in means])  # sums in another order differ by rounding


def smallest_flip_p(num_pairs: int) -> float:
    """2 of 2^n: all differences of one sign, and their mirror image. 0.0625 for 5 pairs: never below 0.05."""
    return 2.0 ** (1 - num_pairs)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p-values times the number of questions that are still open, from the smallest on, and never falling (Holm 1979):
    the chance of one wrong answer among all stays below what each is held against."""
    adjusted, highest = {}, 0.0
    for place, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        highest = max(highest, min(1.0, (len(p_values) - place) * p))
        adjusted[name] = highest
    return adjusted


def _not_above_p(contrasts: Sequence[float]) -> float:
    """That the mean is 0 or below: P(T > mean / standard error), T Student's t of n − 1."""
    n, mean = len(contrasts), fmean(contrasts)
    if n < 2:
        return 0.5
    error = stdev(contrasts) / math.sqrt(n)
    if error == 0:
        return 0.5 if mean == 0 else float(mean < 0)
    return float(stdtr(n - 1, -mean / error))
