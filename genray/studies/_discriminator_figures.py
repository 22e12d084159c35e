"""The figures of `optimal_discriminator`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genray.report import drawing
from genray.report.answer import Figure
from genray.report.plots import GREY, PALETTE
from genray.studies._densities import FloatArray
from genray.studies._discriminator import optimal, where_known
from genray.studies._during_training import PLANE
from genray.studies._modes import TARGETS
from genray.studies._pairs import GRIDS, PAIRS
from genray.studies.base import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, ORANGE, GREEN, *_ = PALETTE
OPTIMAL: dict[str, Any] = {"color": "black", "linestyle": "--", "linewidth": 1.3, "label": "D*"}
MOST_ERROR = 0.1  # the end of the colours of |D − D*|

Pairs = Mapping[str, Sequence[Outcome]]
Modes = Mapping[str, Mapping[str, Sequence[Outcome]]]


def of_lines(pairs: Pairs) -> Figure:
    names = [name for name, pair in PAIRS.items() if pair.data.dimensions == 1]
    figure, axes = drawing.panels(1, len(names), size=(4.8, 3.2))
    for ax, name in zip(axes, names, strict=True):
        x = GRIDS[1].points_ND
        p, q = PAIRS[name].data.density(x), PAIRS[name].generated.density(x)
        _densities(ax, x[:, 0], p, q)
        for i, run in enumerate(pairs[name]):
            ax.plot(x[:, 0], run["d"], color=GREEN, linewidth=1, label="D, a line a seed" if i == 0 else None)
        _optimum(ax, x[:, 0], optimal(p, q), where_known(p, q))
        ax.set_title(PAIRS[name].title)
    drawing.legend(figure, axes[0])
    return Figure(
        "pairs_1d",
        "D and D* on a line",
        "A discriminator trained on draws of both densities, beside the optimal one, which is dashed and drawn where "
        "p_data + p_g exceeds 1 % of its peak. Filled: the densities, to their own scale. Beyond, D has seen nearly "
        "nothing.",
        figure,
    )


def of_planes(pairs: Pairs) -> Figure:
    names = [name for name, pair in PAIRS.items() if pair.data.dimensions == 2]
    figure, axes = drawing.panels(len(names), 3, size=(3.2, 2.8))
    points = GRIDS[2].points_ND
    for row, name in enumerate(names):
        p, q = PAIRS[name].data.density(points), PAIRS[name].generated.density(points)
        d = np.array(pairs[name][0]["d"])
        _maps(axes[3 * row : 3 * row + 3], points, d, optimal(p, q), where_known(p, q), PAIRS[name].title)
    return Figure(
        "pairs_2d",
        "D and D* in the plane",
        "Left the optimal discriminator, in the middle a trained one, right their distance; blank where p_data + p_g "
        "is below 1 % of its peak. The colours of the distance end at 0.1.",
        figure,
    )


def of_training(lines: Mapping[int, Outcome]) -> Figure:
    figure, (errors, values) = drawing.panels(1, 2, size=(4.8, 3.0))
    for (critic_steps, outcome), color in zip(lines.items(), (BLUE, ORANGE), strict=True):
        live, settled = outcome["live"], outcome["settled"]
        name = f"{critic_steps} D a G"
        steps = [row["step"] for row in live]
        errors.plot(steps, [row["mean_error"] for row in live], color=color)
        at, still = [row["step"] for row in settled], [row["mean_error"] for row in settled]
        errors.plot(at, still, "o", color=color)
        values.plot(steps, [row["value"] for row in live], color=color, label=f"D, {name}")
        values.plot(steps, [row["bound"] for row in live], color=color, linestyle="--", label=f"−ln 4 + 2·JS, {name}")
        values.plot(at, [row["value"] for row in settled], "o", color=color, label=f"new D, {name}")
    errors.set_yscale("log")
    errors.set_title("mean |D − D*|")
    values.axhline(-np.log(4), color=GREY, linewidth=1)
    values.set_title("value [nats]")
    for ax in (errors, values):
        ax.set_xlabel("step")
    drawing.legend(figure, values, columns=3)
    return Figure(
        "training",
        "While a GAN learns",
        "A GAN with an invertible generator of one dimension, so that p_g is known exactly. Lines: D as training has "
        "it, which follows a generator that moves. Dots: a new D for the generator of that step, with noise on both "
        "densities, which brings them closer. The value never exceeds −ln 4 + 2·JS (dashed), which falls to −ln 4 "
        "(grey) as p_g comes to p_data.",
        figure,
    )


def of_stages(line: Outcome) -> Figure:
    stages = line["settled"]
    figure, axes = drawing.panels(1, len(stages), size=(3.4, 3.0))
    for ax, stage in zip(axes, stages, strict=True):
        x = np.array(stage["x"])
        _densities(ax, x, np.array(stage["p"]), np.array(stage["q"]))
        ax.plot(x, stage["d"], color=GREEN, label="new D, G held still")
        _optimum(ax, x, np.array(stage["d_optimal"]), np.array(stage["known"]))
        ax.set_title(f"step {stage['step']:,}")
    drawing.legend(figure, axes[0], columns=4)
    return Figure(
        "stages",
        "Stages of that training",
        "Blue: p_data. Orange: p_g, exact, as the generator can be inverted. Both with noise of 0.15, without which D* "
        "jumps at edges that few draws see. Where the generator puts too little, D* is above ½.",
        figure,
    )


def of_training_in_the_plane(plane: Outcome) -> Figure:
    stages = plane["settled"]
    figure, axes = drawing.panels(len(stages), 3, size=(3.2, 2.8))
    for row, stage in enumerate(stages):
        known = np.array(stage["known"])
        d, d_optimal = np.array(stage["d"]), np.array(stage["d_optimal"])
        _maps(axes[3 * row : 3 * row + 3], PLANE.points_ND, d, d_optimal, known, f"step {stage['step']:,}")
    return Figure(
        "plane",
        "While a GAN learns, in the plane",
        "genray's own generator on a ring of five. Its density is a kernel density of 400,000 draws; noise as wide as "
        "the kernel is added to the data and to the samples that D sees, so that the estimate has no bias.",
        figure,
    )


def of_samples(modes: Modes, titles: Mapping[str, str]) -> Figure:
    figure, axes = drawing.panels(len(modes), len(titles), size=(2.6, 2.7))
    panels = iter(axes)
    for target, variants in modes.items():
        means = np.array(TARGETS[target].means)
        for variant, runs in variants.items():
            ax, run = next(panels), sorted(runs, key=lambda run: run["modes"])[len(runs) // 2]
            samples = np.array(run["samples"])
            ax.plot(*means.T, "o", color=GREY, markersize=9, fillstyle="none", markeredgewidth=0.8)
            ax.plot(*samples.T, ".", color=BLUE, markersize=2.5)
            ax.set_title(f"{titles[variant]}\n{run['modes']} of {len(means)}", fontsize=8)
            _square(ax, 1.05)
    return Figure(
        "samples",
        "Samples beside the modes",
        "Of each the seed in the middle by modes found. Circles: modes (σ is far smaller than their size). "
        "Dots: 500 samples.",
        figure,
    )


def of_modes(modes: Modes, noise: Mapping[str, Sequence[Outcome]], titles: Mapping[str, str]) -> Figure:
    looks = drawing.looks(list(titles))
    figure, axes = drawing.panels(len(modes), 2, size=(4.8, 2.6))
    for row, (target, variants) in enumerate(modes.items()):
        for column, what in enumerate((f"modes of the {target} found", "share of high quality")):
            ax = axes[2 * row + column]
            for variant, runs in variants.items():
                history = np.array([run["history"] for run in runs])  # (seeds, looks, 3)
                steps, values = history[0, :, 0], history[:, :, 1 + column]
                ax.plot(steps, values.mean(0), **looks[variant], label=titles[variant])
                ax.fill_between(steps, values.min(0), values.max(0), color=looks[variant]["color"], alpha=0.12, lw=0)
            level = fmean(run[("modes", "high_quality")[column]] for run in noise[target])
            ax.axhline(level, color=GREY, ls=":", label=titles["noise"])
            ax.set_title(what)
            ax.set_ylim(bottom=0)
            ax.set_xlabel("step")
    drawing.legend(figure, axes[0])
    return Figure(
        "modes",
        "Modes found as training goes on",
        "Line: mean over seeds. Band: from the lowest seed to the highest. A mode is found with one sample of 2,500 "
        "within 3σ of it, so a cloud over all of the plane finds many, as uniform noise (dotted) does: look at both "
        "columns.",
        figure,
    )


def _densities(ax: Axes, x: FloatArray, p: FloatArray, q: FloatArray) -> None:
    """Filled, below one half."""
    scale = 0.45 / max(p.max(), q.max())
    ax.fill_between(x, scale * p, color=BLUE, alpha=0.25, linewidth=0, label="p_data")
    ax.fill_between(x, scale * q, color=ORANGE, alpha=0.25, linewidth=0, label="p_g")
    ax.set_ylim(0, 1)
    ax.set_xlabel("x")


def _optimum(ax: Axes, x: FloatArray, d_optimal: FloatArray, known: NDArray[np.bool_]) -> None:
    ax.plot(x, np.where(known, d_optimal, np.nan), **OPTIMAL)
    margin = 0.15 * float(np.ptp(x[known]))
    ax.set_xlim(x[known].min() - margin, x[known].max() + margin)


def _maps(
    axes: Sequence[Axes],
    points_ND: FloatArray,
    d: FloatArray,
    d_optimal: FloatArray,
    known: NDArray[np.bool_],
    title: str,
) -> None:
    """D*, D and their distance, side by side."""
    side, num = float(points_ND.max()), round(len(points_ND) ** 0.5)
    shown = (
        (d_optimal, "D*", 1.0, "RdBu_r"),
        (d, "D", 1.0, "RdBu_r"),
        (abs(d - d_optimal), "|D − D*|", None, "viridis"),
    )
    for ax, (values, name, end, colors) in zip(axes, shown, strict=True):
        picture = ax.imshow(
            np.where(known, values, np.nan).reshape(num, num),
            origin="lower",
            extent=(-side, side, -side, side),
            vmin=0,
            vmax=end or MOST_ERROR,
            cmap=colors,
        )
        _square(ax, float(abs(points_ND[known]).max()) * 1.05)
        ax.set_title(f"{name}: {title}", fontsize=8)
        ax.figure.colorbar(picture, ax=ax, shrink=0.8)


def _square(ax: Axes, side: float) -> None:
    ax.set_xlim(-side, side)
    ax.set_ylim(-side, side)
    ax.set_aspect("equal")
    ax.grid(visible=False)
