"""The figures of the study `hidden_size`: every score against the size, parameters and seconds; the tests; samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import NullLocator

from genray.intervals import summarize
from genray.report.answer import Figure
from genray.report.drawing import legend, looks, panels
from genray.report.plots import GREY, spans_decades
from genray.report.tables import metric_head
from genray.studies._hidden_tables import SECONDS, compared, models_of
from genray.studies._hidden_tests import MODELS, SIZES, PairedTest
from genray.studies.base import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 4
MARKS = {SIZES[0]: "v", SIZES[1]: "o", SIZES[2]: "^"}


def draw(runs: Sequence[Outcome], real: Outcome, tests: Sequence[PairedTest], *, seconds: bool) -> list[Figure]:
    points = "▽ 19, ○ 64, △ 128; mean over seeds with its 95 % interval. Dashed: real images, the floor, which "
    points += "a model's own scores (ELBO, reconstruction) do not have."
    said = f"{points} {SECONDS}"
    by_seconds = [("train_seconds", "training [s]", "training seconds", said)] if seconds else []
    shown = [("hidden", "h", "the hidden size", points), ("num_parameters", "parameters", "parameters", points)]
    return [
        *(
            _every_score(runs, real, key, label, f"Every score against {what}", caption)
            for key, label, what, caption in (*shown, *by_seconds)
        ),
        _differences(tests),
        *_samples(runs),
    ]


def _every_score(runs: Sequence[Outcome], real: Outcome, key: str, label: str, title: str, caption: str) -> Figure:
    metrics, titles = compared(runs), {model: MODELS[model].title for model in models_of(runs)}
    drawing, axes = panels(math.ceil(len(metrics) / COLUMNS), COLUMNS, size=(2.7, 2.3))
    styles = looks(list(titles.values()))
    for panel, metric in zip(axes, metrics, strict=False):
        drawn = _panel(panel, runs, metric, key, styles)
        if floor := real["floor"].get(metric):
            panel.axhline(floor["mean"], color=GREY, ls="--", lw=1.2)
            drawn.append(floor["mean"])
        if min(drawn) > 0 and spans_decades(drawn):
            panel.set_yscale("log")
        panel.set_title(metric_head(metric), fontsize=8.5)
        _axis(panel, runs, key)
    for panel in axes[max(0, len(metrics) - COLUMNS) : len(metrics)]:
        panel.set_xlabel(label)
    for panel in axes[len(metrics) :]:
        panel.set_axis_off()
    legend(drawing, axes[0])
    return Figure(f"by_{key.removeprefix('num_').removeprefix('train_')}", title, caption, drawing)


def _axis(panel: Axes, runs: Sequence[Outcome], key: str) -> None:
    """The same in all panels of a figure."""
    least: dict[tuple[str, int], float] = {}
    for run in runs:
        least[run["model"], run["hidden"]] = min(run[key], least.get((run["model"], run["hidden"]), math.inf))
    low, high = min(least.values()) / 1.25, max(least.values()) * 1.25
    ticks = list(SIZES) if key == "hidden" else log_ticks(low, high)
    panel.set_xscale("log")
    panel.set_xlim(low, high)
    panel.set_xticks(ticks, [f"{tick:,g}" for tick in ticks])
    panel.xaxis.set_minor_locator(NullLocator())


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers in between: as few of a decade as make two, or both ends where even tenths do not."""
    decades = [10.0**k for k in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    for steps in ((1, 3), (1, 2, 5), range(1, 10), np.arange(10, 100) / 10):
        ticks = [float(f"{step * decade:.2g}") for decade in decades for step in steps]
        if len(inside := [tick for tick in ticks if low <= tick <= high]) > 1:
            return inside
    return [low, high]


def _panel(panel: Axes, runs: Sequence[Outcome], metric: str, key: str, styles: dict[str, Any]) -> list[float]:
    """Returns the means that it draws."""
    drawn: list[float] = []
    for model in models_of(runs):
        xs, ys, halves, sizes = [], [], [], []
        for size in SIZES:
            mine = [r for r in runs if (r["model"], r["hidden"]) == (model, size) and metric in r["scores"]]
            if mine:
                found = summarize([run["scores"][metric] for run in mine])
                xs.append(min(run[key] for run in mine))  # the same for all seeds, but for the seconds
                ys.append(found["mean"])
                halves.append(found["ci95"] or 0.0)
                sizes.append(size)
        look = styles[MODELS[model].title]
        if not ys:
            panel.plot([], [], label=MODELS[model].title, **look)
            continue
        panel.plot(xs, ys, label=MODELS[model].title, lw=1.2, **look)
        for x, y, half, size in zip(xs, ys, halves, sizes, strict=True):
            panel.errorbar(x, y, yerr=half, fmt=MARKS[size], ms=4, mfc="white", capsize=2, color=look["color"], lw=1)
        drawn += ys
    return drawn


def _differences(tests: Sequence[PairedTest]) -> Figure:
    groups = [[t for t in tests if t.question == name] for name in ("larger", "little", "gan")]
    groups = [group for group in groups if group]
    most = max(map(len, groups))
    drawing, axes = panels(1, len(groups), size=(4.0, 0.8 + 0.24 * most))
    colours = {"better": "#009e73", "little": "#0072b2", "worse": "#d55e00", "more": "#e69f00", "undecided": GREY}
    for panel, group in zip(axes, groups, strict=True):
        for y, test in enumerate(group):
            if test.margin is not None:
                panel.fill_betweenx([y - 0.35, y + 0.35], -test.margin, test.margin, color="#e3e6ea", lw=0)
            panel.errorbar(
                test.mean, y, xerr=test.ci95 or 0.0, fmt="o", ms=4, capsize=2, color=colours[test.verdict], lw=1.4
            )
        panel.axvline(0, color="#444b55", lw=1)
        panel.set_yticks(range(len(group)), [test.label for test in group], fontsize=8)
        panel.set_ylim(len(group) - 0.4, -0.6)  # half a row of air, however few there are
        panel.set_xlabel("difference in Fréchet distance")
    return Figure(
        "differences",
        "The paired differences, with their 95 % intervals",
        "Left of 0 the first is better. Grey bands: the mean margin within which a change is called little; its own "
        "error is not drawn, but counts. Colours are verdicts after Holm's correction: green better, red worse, blue "
        "little, orange more than little, grey not decided. The intervals are not corrected. Whether 128 less 64 is 0 "
        "is told by the table alone.",
        drawing,
    )


def _samples(runs: Sequence[Outcome]) -> list[Figure]:
    shown = {(run["model"], run["hidden"]): run["samples"] for run in runs if "samples" in run}
    models = models_of(runs)
    drawing, axes = panels(len(models), len(SIZES), size=(3.2, 0.62))
    for i, panel in enumerate(axes):
        model, size = models[i // len(SIZES)], SIZES[i % len(SIZES)]
        if (model, size) in shown:
            strip = np.concatenate([np.array(image, np.uint8) for image in shown[model, size]], axis=1)
            panel.imshow(strip if strip.shape[-1] == 3 else strip[..., 0], cmap="gray", vmin=0, vmax=255)
        panel.set_title(f"{MODELS[model].title}, h = {size}", loc="left", fontsize=8)
        panel.set(xticks=[], yticks=[])
        panel.grid(visible=False)
    caption = "The first samples of seed 0, from the prior, none left out."
    return [Figure("samples", "Samples of every model at every size", caption, drawing)] if shown else []
