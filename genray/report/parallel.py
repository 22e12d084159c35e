"""A search as parallel coordinates: a line a trial, through its parameters to its objectives.

Lines of ordinary scatter plots: Plotly's own `parcoords` takes three WebGL contexts a figure, and a browser has 16.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from genray.report.plots import GREY, Figure, escaped, headed, hover, spans_decades
from genray.report.search import Search, epochs_of, last_values
from genray.report.words import number

SHADES = 8  # from grey to a model's colour


def parallel_coordinates(search: Search, color: str) -> Figure | None:
    """The best trial in the model's colour, others by rank towards grey, those stopped early dotted, with the epoch
    that each reached on an axis of its own. None where no trial has a score."""
    axes = _axes(search)
    shown = [trial for trial in search.trials if trial.state is not TrialState.FAIL and last_values(trial)]
    if not shown:
        return None
    two_lines = {"height": 34, "valign": "bottom"}
    notes = [
        {"x": x, "y": 1.06, "text": f"<b>{axis.name}</b>", "showarrow": False, "yanchor": "bottom", **two_lines}
        for x, axis in enumerate(axes)
    ]
    notes += [
        {"x": x, "y": y, "text": text, "showarrow": False, "xanchor": "left", "xshift": 5, "font": {"size": 11}}
        for x, axis in enumerate(axes)
        for y, text in axis.ticks
    ]
    upright = {"type": "line", "y0": 0, "y1": 1, "line": {"color": GREY, "width": 1}, "layer": "below"}
    return {
        "data": _lines(_from_worst_to_best(shown, search), axes, search, color),
        "layout": {
            "annotations": notes,
            "shapes": [{**upright, "x0": x, "x1": x} for x in range(len(axes))],
            "xaxis": {"visible": False, "range": [-0.35, len(axes) - 0.35]},
            "yaxis": {"visible": False, "range": [-0.06, 1.28]},
            "showlegend": False,
            "hovermode": "closest",
            "margin": {"l": 8, "r": 8, "t": 4, "b": 8},
        },
    }


def short_names(search: Search) -> dict[str, str]:
    """Of each parameter the shortest end of its key that no other has: `model.hidden` → `hidden`, and
    `generator.learning_rate` beside `discriminator.learning_rate`."""
    ends = {key: _ends(key) for key in search.distributions}
    counts = Counter(end for own in ends.values() for end in own)
    return {key: next((end for end in own if counts[end] == 1), key) for key, own in ends.items()}


def _ends(key: str) -> list[str]:
    """`a.b.c` → `c`, `b.c`, `a.b.c`"""
    parts = key.split(".")
    return [".".join(parts[i:]) for i in reversed(range(len(parts)))]


def _lines(
    ranked: Sequence[tuple[FrozenTrial, float]], axes: Sequence[_Axis], search: Search, color: str
) -> list[dict[str, Any]]:
    """Trials of one shade are one trace with gaps, the best one a trace of its own on top: 500 trials are drawn in the
    time that 125 traces take (0.4 s on 2 CPU cores)."""
    alike: dict[tuple[bool, float, str], list[FrozenTrial]] = defaultdict(list)
    for trial, share in ranked:
        best = search.best is not None and trial.number == search.best.number
        dash = "solid" if trial.state is TrialState.COMPLETE else "dot"
        alike[best, round(share**2 * SHADES) / SHADES, dash].append(trial)
    return [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "x": [x for _ in trials for x in (*range(len(axes)), None)],
            "y": [y for trial in trials for y in (*(axis.place(trial) for axis in axes), None)],
            "line": {"color": _mix(GREY, color, shade), "width": 3.5 if best else 1.6, "dash": dash},
            "marker": {"size": 7 if best else 5},
            "meta": {"texts": [hover(trial, search) for trial in trials], "points": len(axes)},
            "hoverinfo": "text",
        }
        for (best, shade, dash), trials in sorted(alike.items(), key=lambda found: found[0])
    ]


def _in_lines(name: str) -> str:
    """`generator.` above `learning_rate`: in one line it would run into its neighbour."""
    first, dot, last = escaped(name).rpartition(".")
    return f"{first}.<br>{last}" if dot else last


class _Axis:
    """One upright line: where a trial's value stands on it, from 0 to 1, and what is written beside it."""

    def __init__(
        self, name: str, values: Mapping[int, Any], *, choices: Sequence[Any] | None = None, log: bool = False
    ) -> None:
        self.name, self._values, self._choices, self._log = name, values, choices, log
        numbers = [self._scaled(v) for v in values.values()] if choices is None else [0.0, len(choices) - 1.0]
        self._low, self._high = min(numbers, default=0.0), max(numbers, default=0.0)

    def _scaled(self, value: Any) -> float:
        if self._choices is not None:
            return float(self._choices.index(value))
        return math.log10(value) if self._log else float(value)

    def _share(self, scaled: float) -> float:
        return (scaled - self._low) / (self._high - self._low) if self._high > self._low else 0.5

    def place(self, trial: FrozenTrial) -> float | None:
        if trial.number not in self._values:
            return None
        return round(self._share(self._scaled(self._values[trial.number])), 4)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        if self._choices is not None:
            return [(self._share(float(i)), escaped(str(choice))) for i, choice in enumerate(self._choices)]
        if not self._values:
            return []
        ends = sorted({self._low, (self._low + self._high) / 2, self._high})
        if all(isinstance(value, int) for value in self._values.values()) and not self._log:
            return [(self._share(v), f"{v:,.0f}") for v in ends if v.is_integer()]
        return [(self._share(v), number(10**v if self._log else v, digits=2)) for v in ends]


def _axes(search: Search) -> list[_Axis]:
    axes, names = [], short_names(search)
    for name, distribution in search.distributions.items():
        values = {t.number: t.params[name] for t in search.trials if name in t.params}
        choices = distribution.choices if isinstance(distribution, CategoricalDistribution) else None
        log = bool(getattr(distribution, "log", False))
        axes.append(_Axis(_in_lines(names[name]), values, choices=choices, log=log))
    epochs = {t.number: reached for t in search.trials if (reached := epochs_of(t)) is not None}
    if len(set(epochs.values())) > 1:
        axes.append(_Axis("epochs", epochs))
    for i, objective in enumerate(search.objectives):
        last = {t.number: ends[i] for t in search.trials if len(ends := last_values(t)) > i}
        finite = {trial: value for trial, value in last.items() if math.isfinite(value)}
        log = bool(finite) and spans_decades(list(finite.values()))
        axes.append(_Axis(headed(objective), finite, log=log))
    return axes


def _from_worst_to_best(trials: Sequence[FrozenTrial], search: Search) -> list[tuple[FrozenTrial, float]]:
    """Trials with their rank's share: 1 is the best, which is drawn last. Those without a value come first, at 0."""
    sign = 1 if search.objectives[0].mode == "min" else -1
    valued = [trial for trial in trials if last_values(trial) and math.isfinite(last_values(trial)[0])]
    ranked = sorted(valued, key=lambda trial: -sign * last_values(trial)[0])
    numbers = {trial.number for trial in valued}
    unvalued = [(trial, 0.0) for trial in trials if trial.number not in numbers]
    return unvalued + [(trial, (i + 1) / len(ranked)) for i, trial in enumerate(ranked)]


def _mix(first: str, second: str, share: float) -> str:
    """The colour at `share` of the way from the first to the second."""
    ends = [[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in (first, second)]
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(*ends, strict=True))
