"""The page's interactive figures, as Plotly reads them: learning curves, and searches as parallel coordinates.

Text, grid and background take their colours from the page (page.js), so that one figure serves light and dark.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from genray.report.collect import Group
from genray.report.comparison import better
from genray.report.search import Search, epochs_of, last_values, reason_of
from genray.report.words import ARROWS, number, title, unit

# Okabe & Ito 2008: told apart with every kind of colour vision. Yellow and black are left out: each is lost on one background.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
DASHES = ("solid", "dash", "dot", "dashdot")  # one more each time that the colours begin again
GREY = "#8a8f98"  # visible on both backgrounds
LOG_FROM = 20.0  # largest / smallest value from which an axis is logarithmic

Figure = dict[str, Any]
Style = dict[str, str]


def styles(labels: Sequence[str]) -> dict[str, Style]:
    """A colour and a dash for each label, the same in every figure of a page. They go by the order of names, not of
    merit, so that a model keeps its colour from one comparison to the next."""
    return {
        label: {"color": PALETTE[i % len(PALETTE)], "dash": DASHES[i // len(PALETTE) % len(DASHES)]}
        for i, label in enumerate(sorted(labels))
    }


def learning_curves(groups: Sequence[Group], metrics: Sequence[str], looks: Mapping[str, Style]) -> dict[str, Figure]:
    """Validation scores against epochs: the mean over seeds, in a band from the lowest to the highest seed."""
    figures = {}
    for metric in metrics:
        figure, values = go.Figure(), list[float]()
        for group in groups:
            points = _curve(group, f"validation/{metric}")
            if points:
                figure.add_traces(_band(group.label, points, looks[group.label]))
                values += [value for _, low, mean, high in points for value in (low, mean, high)]
        if values:
            figure.update_xaxes(title_text="epochs", rangemode="tozero")
            figure.update_yaxes(title_text=unit(metric) or None, type=_scale(values))
            figure.update_layout(showlegend=False, hovermode="x unified", margin={"l": 52, "r": 12, "t": 8, "b": 40})
            figures[metric] = plain(figure)
    return figures


def _curve(group: Group, key: str) -> list[tuple[float, float, float, float]]:
    """(epoch, lowest, mean, highest) over the seeds, at the epochs that every seed was evaluated at."""
    seeds = []
    for entry in group.entries:
        rows = [row for row in entry.history if isinstance(row.get(key), int | float) and math.isfinite(row[key])]
        seeds.append({row["epoch"]: row[key] for row in rows})
    shared = sorted(set.intersection(*map(set, seeds)))
    values = [[seed[epoch] for seed in seeds] for epoch in shared]
    return [(epoch, min(v), sum(v) / len(v), max(v)) for epoch, v in zip(shared, values, strict=True)]


def _band(label: str, points: Sequence[tuple[float, float, float, float]], look: Style) -> list[go.Scatter]:
    epochs, low, mean, high = map(list, zip(*points, strict=True))
    red, green, blue = (int(look["color"][i : i + 2], 16) for i in (1, 3, 5))
    band = go.Scatter(
        x=epochs + epochs[::-1],
        y=high + low[::-1],
        fill="toself",
        fillcolor=f"rgba({red},{green},{blue},0.18)",
        line={"width": 0},
        hoverinfo="skip",
        name=label,
    )
    line = go.Scatter(
        x=epochs,
        y=mean,
        mode="lines+markers" if len(epochs) < 3 else "lines",
        line={"color": look["color"], "dash": look["dash"], "width": 2.2},
        customdata=[[number(a), number(b)] for a, b in zip(low, high, strict=True)],
        hovertemplate="%{y:.4g} (%{customdata[0]} – %{customdata[1]})",
        name=label,
    )
    return [band, line]


def _scale(values: Sequence[float]) -> str:
    return "log" if min(values) > 0 and max(values) > LOG_FROM * min(values) else "linear"


def parallel_coordinates(search: Search, color: str) -> Figure:
    """A line a trial through its parameters to its objective: the best in the model's colour, others by rank towards
    grey, those stopped early dotted, with the epoch they reached on an axis of its own.

    Lines of ordinary scatter plots: Plotly's own `parcoords` takes three WebGL contexts, and a browser has 16.
    """
    axes = _axes(search)
    figure = go.Figure()
    shown = [t for t in search.trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)]
    for trial, share in _from_worst_to_best(shown, search):
        best = search.best is not None and trial.number == search.best.number
        figure.add_scatter(
            x=list(range(len(axes))),
            y=[axis.place(trial) for axis in axes],
            mode="lines+markers",
            line={
                "color": _mix(GREY, color, share**2),
                "width": 3.5 if best else 1.6,
                "dash": "solid" if trial.state is TrialState.COMPLETE else "dot",
            },
            marker={"size": 7 if best else 5},
            opacity=1.0 if best else 0.8,
            hovertext=_hover(trial, search),
            hoverinfo="text",
        )
    for x, axis in enumerate(axes):
        figure.add_shape(type="line", x0=x, x1=x, y0=0, y1=1, line={"color": GREY, "width": 1}, layer="below")
        figure.add_annotation(x=x, y=1.1, text=f"<b>{axis.name}</b>", showarrow=False, yanchor="bottom")
        for y, text in axis.ticks:
            figure.add_annotation(x=x, y=y, text=text, showarrow=False, xanchor="left", xshift=5, font={"size": 11})
    figure.update_xaxes(visible=False, range=[-0.35, len(axes) - 0.35])
    figure.update_yaxes(visible=False, range=[-0.06, 1.28])
    figure.update_layout(showlegend=False, hovermode="closest", margin={"l": 8, "r": 8, "t": 4, "b": 8})
    return plain(figure)


class _Axis:
    """One upright line: where a trial's value stands on it, from 0 to 1, and what is written beside it."""

    def __init__(self, name: str, values: Mapping[int, Any], *, choices: Sequence[Any] | None = None, log: bool = False) -> None:
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
        value = self._values.get(trial.number)
        return None if value is None else self._share(self._scaled(value))

    @property
    def ticks(self) -> list[tuple[float, str]]:
        if self._choices is not None:
            return [(self._share(float(i)), str(choice)) for i, choice in enumerate(self._choices)]
        ends = sorted({self._low, (self._low + self._high) / 2, self._high})
        return [(self._share(v), number(10**v if self._log else v, digits=2)) for v in ends]


def _axes(search: Search) -> list[_Axis]:
    axes = []
    for name, distribution in search.distributions.items():
        values = {t.number: t.params[name] for t in search.trials if name in t.params}
        choices = distribution.choices if isinstance(distribution, CategoricalDistribution) else None
        log = bool(getattr(distribution, "log", False))
        axes.append(_Axis(short(name), values, choices=choices, log=log))
    epochs = {t.number: reached for t in search.trials if (reached := epochs_of(t)) is not None}
    if len(set(epochs.values())) > 1:
        axes.append(_Axis("epochs", epochs))
    for i, objective in enumerate(search.objectives):
        ends = {t.number: values[i] for t in search.trials if len(values := last_values(t)) > i}
        finite = {number: value for number, value in ends.items() if math.isfinite(value)}
        log = bool(finite) and _scale(list(finite.values())) == "log"
        axes.append(_Axis(f"{title(objective.metric)} {'↓' if objective.mode == 'min' else '↑'}", finite, log=log))
    return axes


def short(parameter: str) -> str:
    """`model.hidden` → `hidden`: the whole key stands in the table of trials."""
    return parameter.rsplit(".", 1)[-1]


def _from_worst_to_best(trials: Sequence[FrozenTrial], search: Search) -> list[tuple[FrozenTrial, float]]:
    """Trials with their rank's share: 0 the worst, 1 the best, which is drawn last. Those without a value come first."""
    sign = 1 if search.objectives[0].mode == "min" else -1
    valued = [trial for trial in trials if last_values(trial) and math.isfinite(last_values(trial)[0])]
    ranked = sorted(valued, key=lambda trial: -sign * last_values(trial)[0])
    unvalued = [(trial, 0.0) for trial in trials if trial not in valued]
    return unvalued + [(trial, (i + 1) / len(ranked)) for i, trial in enumerate(ranked)]


def _mix(first: str, second: str, share: float) -> str:
    """The colour at `share` of the way from the first to the second."""
    ends = [[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in (first, second)]
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(*ends, strict=True))


def _hover(trial: FrozenTrial, search: Search) -> str:
    lines = [f"<b>trial {trial.number}</b>: {trial.state.name.lower()}"]
    for objective, value in zip(search.objectives, last_values(trial), strict=False):
        lines.append(f"{title(objective.metric)} {number(value)}")
    if (epochs := epochs_of(trial)) is not None:
        lines.append(f"{epochs} epochs")
    lines += [f"{name} = {number(v) if isinstance(v, float) else v}" for name, v in trial.params.items()]
    return "<br>".join(_escaped(line) if i else line for i, line in enumerate([*lines, *filter(None, [reason_of(trial)])]))


def _escaped(text: str) -> str:
    """Plotly reads a few tags in its texts; what comes from a file is never one."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def pareto(search: Search, color: str) -> Figure | None:
    """Two objectives against each other, with the trials that no other beats in both; None for a single objective."""
    if len(search.objectives) != 2:
        return None
    done = [t for t in search.trials if t.state is TrialState.COMPLETE and len(t.values) == 2]
    signs = [1 if objective.mode == "min" else -1 for objective in search.objectives]
    points = [[sign * value for sign, value in zip(signs, trial.values, strict=True)] for trial in done]
    front = [not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in points) for p in points]
    figure = go.Figure()
    for best, name in ((False, "dominated"), (True, "best trade-offs")):
        chosen = sorted((t for t, on in zip(done, front, strict=True) if on is best), key=lambda t: t.values[0])
        figure.add_scatter(
            x=[trial.values[0] for trial in chosen],
            y=[trial.values[1] for trial in chosen],
            mode="lines+markers" if best else "markers",
            line={"color": color, "width": 1.5, "shape": "hv"},
            marker={"color": color if best else GREY, "size": 8},
            hovertext=[_hover(trial, search) for trial in chosen],
            hoverinfo="text",
            name=name,
        )
    for update, objective in zip((figure.update_xaxes, figure.update_yaxes), search.objectives, strict=True):
        update(title_text=f"{title(objective.metric)} {ARROWS.get(better(objective.metric), '')}".strip())
    figure.update_layout(margin={"l": 60, "r": 12, "t": 8, "b": 44}, legend={"orientation": "h", "y": 1.12})
    return plain(figure)


def plain(figure: go.Figure) -> Figure:
    """JSON values, without Plotly's default template (a page's worth of colours that page.js replaces)."""
    figure.update_layout(template="none")
    value: Figure = json.loads(figure.to_json())
    return value
