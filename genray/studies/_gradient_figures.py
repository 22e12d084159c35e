"""Figures of the study `gradient_variance`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter

from genray.intervals import summarize
from genray.report.answer import Figure
from genray.report.drawing import looks, panels
from genray.studies._gradient_spread import LADDER, NUM_DRAWS
from genray.studies.base import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MODELS = tuple(LADDER)
LOOKS: dict[str, dict[str, Any]] = {**looks(list(LADDER["vae"]))}
LOOKS["leave-one-out"] |= {"linestyle": "--"}  # it lies on the control variate
TITLES = {"vae": "VAE (Gaussian z)", "discrete_vae": "Discrete VAE (bits)"}


def draw(
    measured: Sequence[Outcome], trainings: Sequence[Outcome], points: dict[str, list[dict[str, Any]]]
) -> list[Figure]:
    return [_variance(measured), _ratio(points), _price(measured), _training(trainings)]


def _variance(measured: Sequence[Outcome]) -> Figure:
    num_stages = len(measured[0]["stages"])
    drawing, axes = panels(len(MODELS), num_stages, share_y=True)
    means = []
    for row, model in enumerate(MODELS):
        outcomes = [outcome for outcome in measured if outcome["model"] == model]
        for i in range(num_stages):
            panel = axes[row * num_stages + i]
            for label in LADDER[model]:
                n, logs = _lines(outcomes, i, label, "variance")
                _band(panel, n, logs, label)
                means.append(logs.mean(0))
            panel.set(
                xscale="log", yscale="log", xlabel="draws n", xticks=NUM_DRAWS, xticklabels=[str(n) for n in NUM_DRAWS]
            )
            panel.xaxis.set_minor_locator(NullLocator())
            panel.set_title(f"{TITLES[model]}, epoch {outcomes[0]['stages'][i]['epoch']}")
        axes[row * num_stages].set_ylabel("variance of the gradient")
    lowest, highest = (float(np.exp(end(np.concatenate(means)))) for end in (np.min, np.max))
    axes[0].set_ylim(lowest / 4, 4 * highest)  # of the lines: the interval of few seeds may be as wide as the page
    drawing.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return Figure(
        "variance",
        "Variance of each estimator's gradient",
        "Summed over the encoder's weights, for one batch of digits, against the number of draws of z for each image; "
        "mean over seeds with its 95 % interval. Look at the gap between lines: a factor of 10 in variance is a factor "
        "of 10 in draws.",
        drawing,
    )


def _ratio(points: dict[str, list[dict[str, Any]]]) -> Figure:
    drawing, [panel] = panels(size=(5.6, 5.0))
    for model, look in looks(list(TITLES)).items():
        small = [p for p in points["component"] if p["model"] == model and min(p["predicted"], p["measured"]) > 0]
        panel.plot(
            [p["predicted"] for p in small], [p["measured"] for p in small], ".", ms=2, alpha=0.25, color=look["color"]
        )
        large = [p for p in points["image"] if p["model"] == model]
        panel.errorbar(
            [p["predicted"] for p in large],
            [p["measured"] for p in large],
            xerr=[1.96 * p["predicted_error"] for p in large],
            yerr=[1.96 * p["measured_error"] for p in large],
            fmt="o", ms=3.5, lw=0.8, color=look["color"], mec="white", mew=0.4, label=TITLES[model],
        )  # fmt: skip
    ends = [min(p["predicted"] for p in points["image"]) / 2, 2 * max(p["predicted"] for p in points["image"])]
    panel.plot(ends, ends, color="#444b55", lw=1, ls="--", label="1 − Corr(f, g)²")
    panel.set(xscale="log", yscale="log", xlabel="predicted: 1 − Corr(f, g)²", ylabel="measured: Var f̂ / Var f")
    panel.set(xlim=(ends[0], ends[1]), ylim=(ends[0], ends[1]))
    panel.legend(loc="upper left")
    return Figure(
        "ratio",
        "What a control variate saves, measured and predicted",
        "f is an image's gradient by the score function, g the score itself. Prediction and a* come from one half of "
        "the draws, the measurement from the other. Circles: one a for an image, with 95 % intervals; dots: one for "
        "each component. They should lie on the dashed line.",
        drawing,
    )


def _price(measured: Sequence[Outcome]) -> Figure:
    drawing, axes = panels(1, len(MODELS), size=(4.2, 3.2))
    for panel, model in zip(axes, MODELS, strict=True):
        outcomes = [outcome for outcome in measured if outcome["model"] == model]
        for label in LADDER[model]:
            milliseconds, logs = (_lines(outcomes, -1, label, key)[1].mean(0) for key in ("milliseconds", "variance"))
            panel.plot(np.exp(milliseconds), np.exp(logs), marker="o", ms=3, label=label, **LOOKS[label])
        panel.set(xscale="log", yscale="log", xlabel="milliseconds a gradient", ylabel="variance of the gradient")
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.xaxis.set_major_formatter(ScalarFormatter())
        panel.xaxis.set_minor_locator(NullLocator())
        panel.set_title(f"{TITLES[model]}, epoch {outcomes[0]['stages'][-1]['epoch']}")
    drawing.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return Figure(
        "price",
        "Variance against time",
        "A point for each number of draws, few to many from left to right. Along a horizontal line the variance is the "
        "same: what lies further left gets it sooner.",
        drawing,
    )


def _training(trainings: Sequence[Outcome]) -> Figure:
    drawing, axes = panels(1, len(MODELS), size=(4.2, 3.2), share_y=True)
    for panel, model in zip(axes, MODELS, strict=True):
        lowest = []
        for _, label, outcomes in by_estimator([t for t in trainings if t["model"] == model]):
            epochs = np.array([point["epoch"] for point in outcomes[0]["curve"]])
            values = np.array([[point["elbo_nats"] for point in outcome["curve"]] for outcome in outcomes])
            estimates = [summarize(column.tolist()) for column in values.T]
            mean = np.array([estimate["mean"] for estimate in estimates])
            half = np.array([estimate["ci95"] or 0.0 for estimate in estimates])
            panel.plot(epochs, mean, label=label, **LOOKS[label])
            panel.fill_between(epochs, mean - half, mean + half, color=LOOKS[label]["color"], alpha=0.15, lw=0)
            lowest.append(mean[1:].min())  # the untrained model lies far below
        panel.set(title=TITLES[model], xlabel="epoch", ylim=(min(lowest), None))
    axes[0].set_ylabel("ELBO, validation [nats]")
    drawing.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return Figure(
        "training",
        "Training by each estimator",
        "The same model, rate, batches and number of draws; only the encoder's gradient is estimated otherwise. Mean "
        "over seeds with its 95 % interval.",
        drawing,
    )


def by_estimator(trainings: Sequence[Outcome]) -> Iterator[tuple[str, str, list[Outcome]]]:
    """(model, label, its trainings), as they stand on the ladder."""
    for model, ladder in LADDER.items():
        for label in ladder:
            if found := [t for t in trainings if (t["model"], t["label"]) == (model, label)]:
                yield model, label, found


def plus_minus(estimate: dict[str, Any]) -> str:
    """`-24.3 ± 0.2`."""
    mean = f"{estimate['mean']:.2f}"
    return mean if estimate["ci95"] is None else f"{mean} ± {estimate['ci95']:.2f}"


def _lines(outcomes: Sequence[Outcome], stage: int, label: str, key: str) -> tuple[Any, Any]:
    """Numbers of draws (n,) and ln of what was measured (seeds, n)."""
    way = LADDER[outcomes[0]["model"]][label]
    of_way = [
        [s for s in outcome["stages"][stage]["spreads"] if (s["estimator"], s["kl_term"]) == way]
        for outcome in outcomes
    ]
    return np.array([s["num_draws"] for s in of_way[0]]), np.log([[s[key] for s in spreads] for spreads in of_way])


def _band(panel: Axes, x: Any, logs: Any, label: str) -> None:
    """A line through exp of the means over seeds, with the interval of each."""
    estimates = [summarize(column.tolist()) for column in logs.T]
    mean = np.array([estimate["mean"] for estimate in estimates])
    half = np.array([estimate["ci95"] or 0.0 for estimate in estimates])
    panel.plot(x, np.exp(mean), label=label, **LOOKS[label])
    panel.fill_between(x, np.exp(mean - half), np.exp(mean + half), color=LOOKS[label]["color"], alpha=0.15, lw=0)
