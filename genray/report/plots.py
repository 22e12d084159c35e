"""The page's interactive figures as the JSON that Plotly reads: learning curves, and the luck of a search.

Text, grid and background take their colours from the page (page/figures.js), so that one figure serves light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial

from genray.report.collect import Group
from genray.report.comparison import better
from genray.report.search import Objective, Search, epochs_of, last_values, reason_of
from genray.report.words import number, title, unit

# Okabe & Ito 2008: told apart with every kind of colour vision. Not yellow and black: each is lost on one background.
# The last two are ours, so that eight models have a colour each.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5cd6", "#8a8d1f")
DASHES = ("solid", "dash", "dot", "dashdot")  # one more each time that the colours begin again
MOST_LINES = len(PALETTE) * len(DASHES)  # of a figure of curves: with more, two would look alike
GREY = "#8a8f98"  # visible on both backgrounds
LOG_FROM = 20.0  # largest / smallest value from which an axis is logarithmic

Figure = dict[str, Any]  # {"data": traces, "layout": …}
Style = dict[str, str]
Point = tuple[float, float, float, float]  # epoch, lowest seed, mean, highest seed


def styles(labels: Sequence[str]) -> dict[str, Style]:
    """A colour and a dash for each label, the same in every figure of a page. They go by the order of names, not of
    merit, so that a model keeps its colour from one comparison to the next."""
    return {
        label: {"color": PALETTE[i % len(PALETTE)], "dash": DASHES[i // len(PALETTE) % len(DASHES)]}
        for i, label in enumerate(sorted(labels))
    }


def learning_curves(groups: Sequence[Group], metrics: Sequence[str], looks: Mapping[str, Style]) -> dict[str, Figure]:
    """Validation scores against epochs: the mean over seeds, in a band from the lowest to the highest seed. `groups`
    come from the best to the worst, and the best have lines."""
    groups, figures = groups[:MOST_LINES], {}
    for metric in metrics:
        curves = {group.label: _curve(group, f"validation/{metric}") for group in groups}
        values = [value for points in curves.values() for point in points for value in point[1:]]
        if not values:
            continue
        last = max(point[0] for points in curves.values() for point in points)
        log = better(metric) == "lower" and spans_decades(values)
        figures[metric] = {
            "data": [
                trace
                for group in groups
                if (points := curves[group.label])
                for trace in _band(group, points, looks[group.label])
            ],
            "layout": {
                "xaxis": {"title": {"text": "epochs"}, "rangemode": "tozero", **_whole_ticks(last)},
                "yaxis": {"title": {"text": unit(metric)}, **(log_axis(min(values), max(values)) if log else {})},
                "hovermode": "x unified",
                "showlegend": False,
                "margin": {"l": 52, "r": 12, "t": 8, "b": 40},
            },
        }
    return figures


def _curve(group: Group, key: str) -> list[Point]:
    """At the epochs that every seed was evaluated at."""
    seeds = []
    for entry in group.entries:
        rows = [row for row in entry.history if isinstance(row.get(key), int | float) and math.isfinite(row[key])]
        seeds.append({row["epoch"]: row[key] for row in rows})
    shared = sorted(set.intersection(*map(set, seeds)))
    values = [[seed[epoch] for seed in seeds] for epoch in shared]
    return [(epoch, min(v), sum(v) / len(v), max(v)) for epoch, v in zip(shared, values, strict=True)]


def _whole_ticks(last: float) -> dict[str, float]:
    """Half an epoch is none, nor half a trial."""
    return {"dtick": 1.0} if last < 8 else {}


def _band(group: Group, points: Sequence[Point], look: Style) -> list[dict[str, Any]]:
    epochs, low, mean, high = map(list, zip(*points, strict=True))
    red, green, blue = (int(look["color"][i : i + 2], 16) for i in (1, 3, 5))
    band = {
        "type": "scatter",
        "mode": "lines",
        "x": epochs + epochs[::-1],
        "y": high + low[::-1],
        "fill": "toself",
        "fillcolor": f"rgba({red},{green},{blue},0.18)",
        "line": {"width": 0},
        "hoverinfo": "skip",
        "meta": {"model": group.model},
    }
    line = {
        "type": "scatter",
        "mode": "lines+markers" if len(epochs) < 3 else "lines",
        "x": epochs,
        "y": mean,
        "line": {"color": look["color"], "dash": look["dash"], "width": 2.2},
        "customdata": [[number(a), number(b)] for a, b in zip(low, high, strict=True)],
        "hovertemplate": "%{y:.4g} (%{customdata[0]} – %{customdata[1]})",
        "name": escaped(group.label),
        "meta": {"model": group.model},
    }
    return [band, line]


def spans_decades(values: Sequence[float], ratio: float = LOG_FROM) -> bool:
    """Whether a logarithmic axis shows them better."""
    return min(values) > 0 and max(values) > ratio * min(values)


def log_axis(low: float, high: float) -> dict[str, Any]:
    """1, 2, 5, 10 … written out (Plotly's own are a 2 and a 5 in small print), fewer where those would be many."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if high < 150 * low else (1, 3) if high < 3000 * low else (1,)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    return {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:,g}" for tick in ticks]}


def expected_best(searches: Sequence[Mapping[str, Any]], looks: Mapping[str, Style]) -> Figure:
    """A line a search of one sweep, by what `comparison["expected_best"]` says of it; `looks` by model."""
    objective = Objective(searches[0]["metric"], searches[0]["mode"])
    values = [value for search in searches for value in search["values"]]
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "lines+markers" if len(search["values"]) < 3 else "lines",
                "x": list(range(1, len(search["values"]) + 1)),
                "y": search["values"],
                "line": {
                    "color": looks[search["model"]]["color"],
                    "dash": looks[search["model"]]["dash"],
                    "width": 2.2,
                },
                "hovertemplate": "%{y:.4g}",
                "name": escaped(search["model"]),
                "meta": {"model": search["model"]},
            }
            for search in searches
        ],
        "layout": {
            "xaxis": {"title": {"text": "trials tried"}, **_whole_ticks(max(len(s["values"]) for s in searches))},
            "yaxis": {
                "title": {"text": headed(objective)},
                **(log_axis(min(values), max(values)) if spans_decades(values) else {}),
            },
            "hovermode": "x unified",
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom"},
            "showlegend": True,
            "margin": {"l": 56, "r": 12, "t": 30, "b": 40},
        },
    }


def headed(objective: Objective) -> str:
    """`Fréchet distance ↓`"""
    return f"{escaped(title(objective.metric))} {'↓' if objective.mode == 'min' else '↑'}"


def hover(trial: FrozenTrial, search: Search) -> str:
    """What is shown of a trial under the pointer."""
    lines = [f"trial {trial.number}: {trial.state.name.lower()}"]
    for objective, value in zip(search.objectives, last_values(trial), strict=False):
        lines.append(f"{title(objective.metric)} {number(value)}")
    if (epochs := epochs_of(trial)) is not None:
        lines.append(f"{epochs} epochs")
    lines += [f"{name} = {number(v) if isinstance(v, float) else v}" for name, v in trial.params.items()]
    return "<br>".join(map(escaped, [*lines, *filter(None, [reason_of(trial)])]))


def escaped(text: str) -> str:
    """Plotly reads a few tags in its texts; what comes from a file is never one."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
