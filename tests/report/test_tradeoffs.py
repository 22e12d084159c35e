"""Quality against cost: the front by brute force, and what the figures hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from genray.report import comparison, plots, tradeoffs
from tests.report.fabricate import collect


@pytest.mark.parametrize("seed", range(20))
def test_front_holds_all_that_no_other_beats(seed: int) -> None:
    points = [tuple(map(float, point)) for point in np.random.default_rng(seed).integers(0, 8, (12, 2))]
    unbeaten = [p for p in points if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in points)]
    assert [points[i] for i in tradeoffs.front(points)] == sorted(unbeaten)


def test_front_of_nothing_is_nothing() -> None:
    assert tradeoffs.front([]) == []


@pytest.fixture(scope="module")
def result(sweep: Path) -> dict[str, Any]:
    return comparison.build(collect([sweep]))


@pytest.mark.parametrize(("metric", "sign"), [("frechet", 1), ("recall", -1)])
def test_figures_have_a_point_a_row_and_the_front_by_the_better_end(
    result: dict[str, Any], metric: str, sign: int
) -> None:
    looks = plots.styles([row["label"] for row in result["rows"]])
    for cost, figure in tradeoffs.figures(result, [metric], looks)[metric].items():
        go.Figure(figure)
        line, *points = figure["data"]
        places = {(row[cost], row["metrics"][metric]["mean"]) for row in result["rows"]}
        assert {(point["x"][0], point["y"][0]) for point in points} == places
        beaten = {(x, y) for x, y in places for u, v in places if (u, v) != (x, y) and u <= x and sign * (v - y) <= 0}
        assert set(zip(line["x"], line["y"], strict=True)) == places - beaten
        assert line["x"] == sorted(line["x"])
        models = {(row[cost], row["metrics"][metric]["mean"]): row["model"] for row in result["rows"]}
        assert set(line["meta"]["model"]) == {models[place] for place in places - beaten}
        intervals = {row["label"]: row["metrics"][metric]["ci95"] for row in result["rows"]}
        assert [point["error_y"]["array"][0] for point in points] == list(intervals.values())
