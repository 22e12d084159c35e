"""Tables of the study `gradient_variance`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import nnls

from genray.intervals import summarize
from genray.report.answer import Table
from genray.studies import _gradient_figures as figures
from genray.studies._gradient_spread import LADDER, Way
from genray.studies.base import Outcome

SHOWN_DRAWS = 8  # in the table of variances
TARGET = {"vae": Way("reparameterization", "exact"), "discrete_vae": Way("leave_one_out", "sampled")}
TARGET_DRAWS = {"vae": 1, "discrete_vae": 4}  # whose variance the others are brought to

Spread = dict[str, Any]


def variance_tables(measured: Sequence[Outcome]) -> list[Table]:
    """Total variance of each way at 8 draws, relative to the best baseline's."""
    tables = []
    for model, outcomes in by_model(measured).items():
        epochs = [stage["epoch"] for stage in outcomes[0]["stages"]]
        ways = list(dict.fromkeys(way_of(spread) for spread in outcomes[0]["stages"][0]["spreads"]))
        rows = [
            [*(part.replace("_", " ") for part in way), *(variance_text(outcomes, i, way) for i in range(len(epochs)))]
            for way in ways
        ]
        tables.append(
            Table(
                f"{model}: variance of the gradient with {SHOWN_DRAWS} draws",
                ["estimator", "KL term", *(f"after {epoch} epochs" for epoch in epochs)],
                rows,
                "Summed over the encoder's weights; geometric mean over seeds, with its 95 % interval as a factor. "
                "KL term: in closed form (exact), its entropy alone, or sampled with the rest.",
            )
        )
    return tables


def variance_text(outcomes: Sequence[Outcome], stage: int, way: Way) -> str:
    logs = []
    for outcome in outcomes:
        [spread] = [s for s in of_way(outcome["stages"][stage], way) if s["num_draws"] == SHOWN_DRAWS]
        logs.append(math.log(spread["variance"]))
    return factor(logs)


def price_tables(measured: Sequence[Outcome]) -> list[Table]:
    """Draws and time that bring each way to the variance of what the model trains with, at the last stage."""
    tables = []
    for model, outcomes in by_model(measured).items():
        rows = []
        for label, way in LADDER[model].items():
            prices = [price(outcome, way) for outcome in outcomes]
            draws, milliseconds = zip(*prices, strict=True)
            rows.append([label, factor([math.log(d) for d in draws]), factor([math.log(m) for m in milliseconds])])
        target = f"{TARGET[model].estimator.replace('_', ' ')} with {TARGET_DRAWS[model]} draw"
        tables.append(
            Table(
                f"{model}: the price of the same variance",
                ["estimator", "draws", "milliseconds a gradient"],
                rows,
                f"To reach the variance of {target}{'s' if TARGET_DRAWS[model] > 1 else ''} after "
                f"{outcomes[0]['stages'][-1]['epoch']} epochs. Past the measured {_most(outcomes)} draws, variance "
                f"goes on as 1/n and time as a straight line. Geometric mean over seeds, with its 95 % factor.",
            )
        )
    return tables


def price(outcome: Outcome, way: Way) -> tuple[float, float]:
    """(draws, milliseconds), where fewer than the way's least number count as that."""
    model, stage = outcome["model"], outcome["stages"][-1]
    [target] = [s for s in of_way(stage, TARGET[model]) if s["num_draws"] == TARGET_DRAWS[model]]
    spreads = of_way(stage, way)
    n, variance, milliseconds = (
        np.array([s[key] for s in spreads], dtype=float) for key in ("num_draws", "variance", "milliseconds")
    )
    if variance[-1] > target["variance"]:
        draws = n[-1] * variance[-1] / target["variance"]
    else:
        draws = math.exp(np.interp(-math.log(target["variance"]), -np.log(variance), np.log(n)))
    (start, slope), _ = nnls(np.stack([np.ones_like(n), n], axis=1), milliseconds)
    return float(draws), float(start + slope * draws)


def bound_table(trainings: Sequence[Outcome]) -> Table:
    rows = []
    for model, label, outcomes in figures.by_estimator(trainings):
        last = summarize([outcome["curve"][-1]["elbo_nats"] for outcome in outcomes])
        seconds = summarize([outcome["curve"][-1]["seconds"] for outcome in outcomes])
        rows.append([model, label, figures.plus_minus(last), figures.plus_minus(seconds)])
    epochs = trainings[0]["curve"][-1]["epoch"]
    return Table(
        f"The bound after {epochs} epochs",
        ["model", "estimator", "ELBO [nats]", "training [s]"],
        rows,
        "On the validation split; 8 draws for each image in training. Mean over seeds ± its 95 % interval.",
    )


def by_model(measured: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    return {model: [outcome for outcome in measured if outcome["model"] == model] for model in LADDER}


def of_way(stage: dict[str, Any], way: Way) -> list[Spread]:
    """What was measured of one way, from few draws to many."""
    return [spread for spread in stage["spreads"] if way_of(spread) == way]


def way_of(spread: Spread) -> Way:
    return Way(spread["estimator"], spread["kl_term"])


def _most(outcomes: Sequence[Outcome]) -> int:
    return max(int(spread["num_draws"]) for spread in outcomes[0]["stages"][-1]["spreads"])


def factor(logs: Sequence[float]) -> str:
    """`12.3 (×÷ 1.2)`: geometric mean and the factor to either end of its 95 % interval."""
    estimate = summarize(logs)
    mean = f"{math.exp(estimate['mean']):.3g}"
    return mean if estimate["ci95"] is None else f"{mean} (×÷ {math.exp(estimate['ci95']):.2f})"
