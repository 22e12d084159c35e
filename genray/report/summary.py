"""Several datasets in one comparison: how each model stands on each, and on all.

Scores of different datasets do not compare, but places do, and so do distances to real images when they are measured
by those of the other models on the same dataset.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from scipy.special import stdtrit

from genray.intervals import CONFIDENCE, Estimate, best_first, overlap, summarize
from genray.report.comparison import better

Row = Mapping[str, Any]

HOW = (
    "Rank: by mean; in brackets the ranks that the intervals allow, as rows whose intervals overlap may change places. "
    "Distance: to the mean of real images (the floor), divided by the mean distance of the models that stand in every "
    "table, so that 1 is such a model's on average; its 95 % interval is over seeds, with the floor and the divisor "
    "taken as exact. Mean rank: among the models that stand in every table. Last column: means over these datasets, "
    "with the interval over their seeds, not over other datasets."
)


def of_datasets(parts: Mapping[str, Row]) -> dict[str, Any] | None:
    """The summary of comparisons by name, each of another dataset, by the primary metric of the first that all have and
    that has a better end; None where there is no such thing."""
    if len(parts) < 2 or len({part["dataset"] for part in parts.values()}) < len(parts):
        return None
    for metric in dict.fromkeys(part["primary"] for part in parts.values()):
        everywhere = all(any(metric in row["metrics"] for row in part["rows"]) for part in parts.values())
        if everywhere and better(metric) != "none":
            return _by(metric, parts)
    return None


def _by(metric: str, parts: Mapping[str, Row]) -> dict[str, Any]:
    ranked = {name: best_first(part["rows"], metric, better(metric)) for name, part in parts.items()}
    labels = list(dict.fromkeys(row["label"] for rows in ranked.values() for row in rows))
    in_all = [label for label in labels if all(label in _labels(rows) for rows in ranked.values())]
    places = {name: _places(rows, metric, parts[name]["floor"].get(metric), in_all) for name, rows in ranked.items()}
    common = {name: [label for label in _labels(rows) if label in in_all] for name, rows in ranked.items()}
    found = []
    for label in labels:
        among = [order.index(label) + 1 for order in common.values()] if label in in_all else []
        found.append(_row(label, {name: of[label] for name, of in places.items() if label in of}, among, parts))
    found.sort(key=_order)
    return {"metric": metric, "datasets": list(parts), "rows": found, "how": HOW}


def _order(row: Row) -> tuple[float, float]:
    """By mean rank, then by distance, and at last those that do not stand in every table."""
    rank, distance = row["mean_rank"], row["distance"]
    return math.inf if rank is None else rank, distance["mean"] if distance else math.inf


def _labels(rows: Sequence[Row]) -> list[str]:
    return [row["label"] for row in rows]


def _places(
    ranked: Sequence[Row], metric: str, floor: Estimate | None, in_all: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Of each row of one dataset, by label."""
    estimates = {row["label"]: row["metrics"][metric] for row in ranked}
    excess = {} if floor is None else {label: _excess(e, floor, metric) for label, e in estimates.items()}
    divisor = fmean(fmean(excess[label]) for label in in_all) if excess and in_all else 0.0
    return {
        label: {
            "rank": 1 + sum(other["mean"] != e["mean"] for other in list(estimates.values())[:i]),
            "ranks": _ranks(label, estimates),
            "distance": summarize([value / divisor for value in excess[label]]) if divisor > 0 else None,
        }
        for i, (label, e) in enumerate(estimates.items())
    }


def _excess(estimate: Estimate, floor: Estimate, metric: str) -> list[float]:
    """How far each seed is from real images; negative where it is better than they are."""
    sign = -1 if better(metric) == "higher" else 1
    return [sign * (value - floor["mean"]) for value in estimate["values"]]


def _ranks(label: str, ranked: Mapping[str, Estimate]) -> list[int]:
    """The best and the worst rank that a row can have if all whose intervals overlap with its own may change places."""
    order = list(ranked)
    clear = [not overlap(ranked[label], ranked[other]) for other in order]
    place = order.index(label)
    return [1 + sum(clear[:place]), len(order) - sum(clear[place + 1 :])]


def _row(
    label: str, places: Mapping[str, Mapping[str, Any]], among: Sequence[int], parts: Mapping[str, Row]
) -> dict[str, Any]:
    """`among`: its ranks among the rows that stand in every table, empty for another."""
    distances = [place["distance"] for place in places.values()]
    model = next(row["model"] for part in parts.values() for row in part["rows"] if row["label"] == label)
    return {
        "label": label,
        "model": model,
        "datasets": dict(places),
        "mean_rank": fmean(among) if among else None,
        "distance": mean_of(distances) if among and None not in distances else None,
    }


def mean_of(estimates: Sequence[Estimate]) -> dict[str, Any]:
    """The mean of independent means, and half its 95 % interval by Welch and Satterthwaite's degrees of freedom; None
    where one of them has a single value."""
    mean, count = fmean(e["mean"] for e in estimates), len(estimates)
    if any(e["std"] is None for e in estimates):
        return {"mean": mean, "ci95": None}
    squares = [(e["std"] ** 2 / len(e["values"]), len(e["values"]) - 1) for e in estimates]
    total = sum(square for square, _ in squares)
    if total == 0:
        return {"mean": mean, "ci95": 0.0}
    freedom = total**2 / sum(square**2 / n for square, n in squares)
    return {"mean": mean, "ci95": float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * math.sqrt(total) / count}
