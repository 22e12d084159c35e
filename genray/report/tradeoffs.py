"""One thing against another: a row's score against what it cost, and the two objectives of a search."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import TrialState

from genray.report.comparison import better
from genray.report.plots import GREY, Figure, Style, escaped, headed, hover, log_axis, spans_decades
from genray.report.search import Search
from genray.report.words import ARROWS, duration, estimate, title, unit

COSTS = {"train_seconds": "seconds of training a run", "num_parameters": "parameters"}


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Of points whose coordinates are both better when lower, those that no other beats: none is as low in both and
    lower in one. Numbers of the points, from left to right."""
    best, kept = math.inf, list[int]()
    for i in sorted(range(len(points)), key=lambda i: points[i]):
        if points[i][1] < best or (kept and points[i] == points[kept[-1]]):
            kept.append(i)
            best = points[i][1]
    return kept


def figures(
    comparison: Mapping[str, Any], metrics: Sequence[str], looks: Mapping[str, Style]
) -> dict[str, dict[str, Figure]]:
    """By metric, then by cost, of those `metrics` that rank two rows at least."""
    rows = {name: [row for row in comparison["rows"] if name in row["metrics"]] for name in metrics}
    return {name: {cost: _figure(rows[name], name, cost, looks) for cost in COSTS} for name in metrics}


def _figure(rows: Sequence[Mapping[str, Any]], metric: str, cost: str, looks: Mapping[str, Style]) -> Figure:
    sign = 1 if better(metric) == "lower" else -1
    beaten_by_none = front([(row[cost], sign * row["metrics"][metric]["mean"]) for row in rows])
    spent = [row[cost] for row in rows]
    x_axis = {"title": {"text": COSTS[cost]}, **(log_axis(min(spent), max(spent)) if spans_decades(spent, 8) else {})}
    return {
        "data": [
            _front([rows[i] for i in beaten_by_none], metric, cost),
            *[
                _point(row, metric, cost, looks[row["label"]], _side(row[cost], spent, log=x_axis.get("type") == "log"))
                for row in rows
            ],
        ],
        "layout": {
            "xaxis": x_axis,
            "yaxis": {"title": {"text": " ".join(filter(None, [title(metric), ARROWS[better(metric)], unit(metric)]))}},
            "showlegend": False,
            "hovermode": "closest",
            "margin": {"l": 56, "r": 16, "t": 12, "b": 44},
        },
    }


def _front(rows: Sequence[Mapping[str, Any]], metric: str, cost: str) -> dict[str, Any]:
    """A step: what the best of those that cost no more has. Without one of its models it would be another."""
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [row[cost] for row in rows],
        "y": [row["metrics"][metric]["mean"] for row in rows],
        "line": {"color": GREY, "width": 1.5, "dash": "dot", "shape": "hv"},
        "hoverinfo": "skip",
        "name": "front",
        "meta": {"model": sorted({row["model"] for row in rows})},
    }


def _side(value: float, values: Sequence[float], *, log: bool) -> str:
    """The side of a point on which its name has room: away from the nearer end of the axis."""
    middle = math.sqrt(min(values) * max(values)) if log else (min(values) + max(values)) / 2
    return "left" if value > middle else "right"


def _point(row: Mapping[str, Any], metric: str, cost: str, look: Style, side: str) -> dict[str, Any]:
    found = row["metrics"][metric]
    spent = duration(row[cost]) if cost == "train_seconds" else f"{row[cost]:,} parameters"
    return {
        "type": "scatter",
        "mode": "markers+text",
        "x": [row[cost]],
        "y": [found["mean"]],
        "error_y": {"array": [found["ci95"] or 0], "color": look["color"], "thickness": 1.5, "width": 3},
        "marker": {"color": look["color"], "size": 9},
        "text": [f"{escaped(row['label'])}&nbsp;" if side == "left" else f"&nbsp;{escaped(row['label'])}"],
        "textposition": f"middle {side}",
        "cliponaxis": False,
        "hovertext": f"{escaped(row['label'])}<br>{estimate(found['mean'], found['ci95'])}<br>{spent}",
        "hoverinfo": "text",
        "meta": {"model": row["model"]},
    }


def pareto(search: Search, color: str) -> Figure | None:
    """Two objectives against each other, with the trials that no other beats in both; None for a single objective."""
    if len(search.objectives) != 2:
        return None
    done = [t for t in search.trials if t.state is TrialState.COMPLETE and len(t.values) == 2]
    first, second = (1 if objective.mode == "min" else -1 for objective in search.objectives)
    best_trials = set(front([(first * trial.values[0], second * trial.values[1]) for trial in done]))
    data = []
    for best, name in ((False, "beaten in both"), (True, "best trade-offs")):
        chosen = sorted((t for i, t in enumerate(done) if (i in best_trials) is best), key=lambda t: t.values[0])
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers" if best else "markers",
                "x": [trial.values[0] for trial in chosen],
                "y": [trial.values[1] for trial in chosen],
                "line": {"color": color, "width": 1.5, "shape": "hv" if first == 1 else "vh"},
                "marker": {"color": color if best else GREY, "size": 8},
                "hovertext": [hover(trial, search) for trial in chosen],
                "hoverinfo": "text",
                "name": name,
            }
        )
    x_axis, y_axis = ({"title": {"text": headed(objective)}} for objective in search.objectives)
    margin = {"l": 60, "r": 12, "t": 8, "b": 44}
    return {"data": data, "layout": {"xaxis": x_axis, "yaxis": y_axis, "margin": margin, "legend": {"y": 1}}}
