"""Means with intervals, and what may be concluded from two of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from scipy.special import stdtrit  # scipy.stats takes two seconds to import

Estimate = Mapping[str, Any]  # {"mean", "std", "ci95", "values"}: a row's metric, or the floor's

CONFIDENCE = 0.95


def summarize(values: Sequence[float]) -> dict[str, Any]:
    """Mean, standard deviation (n - 1) and half width of the 95 % Student-t interval of the mean.

    One value has no spread to measure: its `std` and `ci95` are None.
    """
    n = len(values)
    mean = statistics.fmean(values)
    if n < 2:
        return {"mean": mean, "std": None, "ci95": None, "values": list(values)}
    std = statistics.stdev(values)
    quantile = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2))
    return {"mean": mean, "std": std, "ci95": quantile * std / math.sqrt(n), "values": list(values)}


def bounds(estimate: Estimate) -> tuple[float, float]:
    """Ends of the interval; both are the mean where there is no interval."""
    half = estimate.get("ci95") or 0.0
    return estimate["mean"] - half, estimate["mean"] + half


def overlap(a: Estimate, b: Estimate) -> bool:
    """Whether the two intervals touch. Where one is not known (one seed), nothing tells the two apart: True."""
    if a.get("ci95") is None or b.get("ci95") is None:
        return True
    (low_a, high_a), (low_b, high_b) = bounds(a), bounds(b)
    return low_a <= high_b and low_b <= high_a


def beyond(estimate: Estimate, floor: Estimate, better: str) -> bool:
    """Whether a score is better than the floor by more than the two intervals allow; of one seed, never."""
    if estimate.get("ci95") is None:
        return False
    (low, high), (floor_low, floor_high) = bounds(estimate), bounds(floor)
    return (better == "lower" and high < floor_low) or (better == "higher" and low > floor_high)


def best_first(rows: Sequence[Mapping[str, Any]], metric: str, better: str) -> list[Mapping[str, Any]]:
    """The rows that have `metric`, from best to worst mean."""
    having = [row for row in rows if metric in row["metrics"]]
    return sorted(having, key=lambda row: row["metrics"][metric]["mean"], reverse=better == "higher")
