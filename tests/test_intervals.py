"""Intervals against closed forms and a simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from genray.intervals import best_first, beyond, overlap, summarize


def test_student_interval_of_five_values_by_hand() -> None:
    # mean 3, variance (4 + 1 + 0 + 1 + 4) / 4 = 2.5, t(0.975, 4) = 2.776445 from printed tables
    summary = summarize([1.0, 2.0, 3.0, 4.0, 5.0])
    assert summary["mean"] == 3.0
    assert summary["std"] == pytest.approx(math.sqrt(2.5), rel=1e-12)
    assert summary["ci95"] == pytest.approx(2.776445 * math.sqrt(2.5 / 5), rel=1e-6)
    assert summary["values"] == [1.0, 2.0, 3.0, 4.0, 5.0]


@pytest.mark.parametrize("n", [2, 3, 5, 30])
def test_interval_agrees_with_scipy(n: int) -> None:
    values = np.random.default_rng(n).normal(7, 2, n)
    low, high = stats.t.interval(0.95, n - 1, loc=values.mean(), scale=stats.sem(values))
    assert summarize(values.tolist())["ci95"] == pytest.approx((high - low) / 2, rel=1e-9)


def test_interval_holds_the_true_mean_in_95_of_100_samples() -> None:
    rng, inside = np.random.default_rng(0), 0
    for _ in range(2000):
        summary = summarize(rng.normal(1.0, 3.0, 5).tolist())
        inside += abs(summary["mean"] - 1.0) <= summary["ci95"]
    assert inside / 2000 == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / 2000))


def test_one_value_has_no_interval_and_no_spread() -> None:
    assert summarize([4.0]) == {"mean": 4.0, "std": None, "ci95": None, "values": [4.0]}


def estimate(mean: float, ci95: float | None) -> dict[str, float | None]:
    return {"mean": mean, "ci95": ci95}


def test_overlap_where_intervals_touch_or_are_not_known() -> None:
    assert overlap(estimate(1, 0.5), estimate(2, 0.5))
    assert not overlap(estimate(1, 0.5), estimate(2, 0.4))
    assert overlap(estimate(1, None), estimate(9, 0.1))


def test_beyond_the_floor_needs_both_intervals_to_be_clear() -> None:
    floor = estimate(1.0, 0.2)
    assert beyond(estimate(0.5, 0.2), floor, "lower")
    assert not beyond(estimate(0.7, 0.2), floor, "lower")
    assert not beyond(estimate(0.5, 0.2), floor, "higher")
    assert beyond(estimate(1.5, 0.2), floor, "higher")
    assert not beyond(estimate(0.5, 0.2), floor, "none")
    assert not beyond(estimate(-9.0, None), floor, "lower"), "one seed tells of no interval"
    assert beyond(estimate(0.5, 0.2), estimate(1.0, None), "lower")


def test_best_first_by_direction() -> None:
    rows = [{"metrics": {"m": {"mean": mean}}} for mean in (2.0, 3.0, 1.0)] + [{"metrics": {}}]
    assert [row["metrics"]["m"]["mean"] for row in best_first(rows, "m", "lower")] == [1.0, 2.0, 3.0]
    assert [row["metrics"]["m"]["mean"] for row in best_first(rows, "m", "higher")] == [3.0, 2.0, 1.0]
