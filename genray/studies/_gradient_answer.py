"""What the measured gradients say: checks and sentences of the study `gradient_variance`."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtri, stdtrit

from genray.intervals import bounds, summarize
from genray.report.answer import Answer, Check, Verdict, verdict_of
from genray.studies import _gradient_figures as figures
from genray.studies._gradient_spread import LADDER
from genray.studies._gradient_tables import (
    SHOWN_DRAWS,
    bound_table,
    by_model,
    factor,
    of_way,
    price_tables,
    variance_tables,
)
from genray.studies.base import Outcome

CONFIDENCE = 0.95
POWER_MARGIN = 0.05  # of n, within which a variance is said to fall as 1/n


def answer(outcomes: Sequence[Outcome]) -> Answer:
    measured = [outcome for outcome in outcomes if "stages" in outcome]
    trainings = [outcome for outcome in outcomes if "curve" in outcome]
    points = ratio_points(measured)
    checks = [
        _one_a_each(points["image"]),
        _coverage(points["component"]),
        _unbiased(measured),
        _falls_as_1_over_n(measured),
    ]
    return Answer(
        summary=_summary(measured, trainings),
        checks=checks,
        tables=[*variance_tables(measured), *price_tables(measured), bound_table(trainings)],
        figures=figures.draw(measured, trainings, points),
        data={"gradients": measured, "trainings": trainings},
    )


def ratio_points(measured: Sequence[Outcome]) -> dict[str, list[dict[str, Any]]]:
    """Every measured ratio with its prediction, of all models, seeds and stages."""
    return {
        kind: [
            point | {"model": outcome["model"], "epoch": stage["epoch"]}
            for outcome in measured
            for stage in outcome["stages"]
            for point in stage["ratios"][kind]
        ]
        for kind in ("image", "component")
    }


def _distances(points: Iterable[dict[str, float]]) -> list[float]:
    """|measured − predicted| in standard errors of the difference."""
    return [abs(p["measured"] - p["predicted"]) / math.hypot(p["measured_error"], p["predicted_error"]) for p in points]


def _one_a_each(points: Sequence[dict[str, Any]]) -> Check:
    """All at once: each interval is widened so that all of them hold with 95 % (Bonferroni)."""
    distances = _distances(points)
    allowed = -float(ndtri((1 - CONFIDENCE) / 2 / len(points)))
    inside = sum(d <= allowed for d in distances)
    return Check(
        "Var f̂ / Var f of the control variate is 1 − Corr(f, g)²",
        f"{inside} of {len(points)} gradients of single images lie within their interval (together 95 %: "
        f"± {allowed:.1f} standard errors); the farthest is {max(distances):.1f} away",
        verdict_of(inside == len(points)),
    )


def _coverage(points: Sequence[dict[str, Any]]) -> Check:
    """One by one: of 95 % intervals, which draws of heavy tails make a little too narrow, nine tenths must hold."""
    share = statistics.fmean(d <= 1.96 for d in _distances(points))
    return Check(
        "… and so it is for every component of the gradient with an a of its own",
        f"95 % intervals of {len(points)} components hold the prediction in {share:.1%} of the cases (asked: 90 %)",
        verdict_of(share >= 0.9),
    )


class Gap(NamedTuple):
    """Between two means along the gradient's direction: an estimator's and that of the most precise way."""

    estimator: str
    num_draws: int
    distance: float
    error: float  # standard error of the distance
    length: float  # of the gradient


def _unbiased(measured: Sequence[Outcome]) -> Check:
    """What is not told from 0 may be a bias all the same: how large, the intervals say."""
    stages = [stage for outcome in measured for stage in outcome["stages"]]
    gaps = [gap for stage in stages for gap in _gaps(stage)]
    degrees = min(stage["replicates"] for stage in stages) - 1
    allowed = -float(stdtrit(degrees, (1 - CONFIDENCE) / 2 / len(gaps)))
    farthest, most = max(gap.distance / gap.error for gap in gaps), max(gap.num_draws for gap in gaps)
    room: dict[str, float] = {}
    for gap in gaps:
        if gap.num_draws == most:
            share = (gap.distance + allowed * gap.error) / gap.length
            room[gap.estimator] = max(share, room.get(gap.estimator, 0.0))
    shares = ", ".join(f"{estimator.replace('_', ' ')} {share:.0%}" for estimator, share in room.items())
    return Check(
        "No estimator is found to be biased",
        f"of {len(gaps)} means along the gradient's direction, the farthest from the most precise is "
        f"{farthest:.1f} standard errors away (together 95 %: {allowed:.1f}); with {most} draws, the intervals "
        f"leave room for a bias of this share of the gradient's length at most: {shares}",
        verdict_of(farthest <= allowed),
    )


def _gaps(stage: Mapping[str, Any]) -> Iterator[Gap]:
    best = min(stage["spreads"], key=lambda spread: spread["standard_error"])
    for spread in stage["spreads"]:
        if spread is not best:
            yield Gap(
                spread["estimator"],
                spread["num_draws"],
                abs(spread["projection"] - best["projection"]),
                math.hypot(spread["standard_error"], best["standard_error"]),
                abs(best["projection"]),
            )


def _falls_as_1_over_n(measured: Sequence[Outcome]) -> Check:
    """By an interval of slopes, one a model and seed: stages of one training are not independent."""
    slopes = []
    for outcome in measured:
        way = LADDER[outcome["model"]]["score function"]
        slopes.append(statistics.fmean(_slope(of_way(stage, way)) for stage in outcome["stages"]))
    low, high = bounds(summarize(slopes))
    return Check(
        f"The variance of the score function falls as 1/n, to within n to the power of ± {POWER_MARGIN:g}",
        f"n to the power of {low:.3f} to {high:.3f}, the 95 % interval of {len(slopes)} trainings",
        _about_minus_1(low, high),
    )


def _slope(spreads: Sequence[Mapping[str, Any]]) -> float:
    """Of ln variance over ln n."""
    n, variance = ([spread[key] for spread in spreads] for key in ("num_draws", "variance"))
    return float(np.polyfit(np.log(n), np.log(variance), 1)[0])


def _about_minus_1(low: float, high: float) -> Verdict:
    least, greatest = -1 - POWER_MARGIN, -1 + POWER_MARGIN
    if least < low and high < greatest:
        return "holds"
    return "does not hold" if high < least or greatest < low else "not decided"


def _summary(measured: Sequence[Outcome], trainings: Sequence[Outcome]) -> list[str]:
    return [*(_saved(model, outcomes) for model, outcomes in by_model(measured).items()), *_learned(trainings)]


def _saved(model: str, outcomes: Sequence[Outcome]) -> str:
    """How much each step of the ladder changes the variance, after training."""

    def times(over: str, under: str) -> str:
        logs = []
        for outcome in outcomes:
            high, low = (
                next(
                    s["variance"]
                    for s in of_way(outcome["stages"][-1], LADDER[model][label])
                    if s["num_draws"] == SHOWN_DRAWS
                )
                for label in (over, under)
            )
            logs.append(math.log(high / low))
        return factor(logs)

    text = (
        f"{model}, after {outcomes[0]['stages'][-1]['epoch']} epochs with {SHOWN_DRAWS} draws: the plain score "
        f"function's variance is {times('score function', 'control variate')} times that of the control variate and "
        f"{times('score function', 'leave-one-out')} times leave-one-out's. Keeping the entropy exact multiplies the "
        f"variance by {times('exact entropy', 'score function')} without a baseline and by "
        f"{times('leave-one-out, exact entropy', 'leave-one-out')} with one"
    )
    if "reparameterization" in LADDER[model]:
        text += f"; reparameterization's is {times('leave-one-out', 'reparameterization')} times below leave-one-out's"
    return f"{text}."


def _learned(trainings: Sequence[Outcome]) -> list[str]:
    found: dict[str, list[str]] = {}
    for model, label, outcomes in figures.by_estimator(trainings):
        last = summarize([outcome["curve"][-1]["elbo_nats"] for outcome in outcomes])
        found.setdefault(model, []).append(f"{label} {figures.plus_minus(last)}")
    return [f"{model}, trained with each: {'; '.join(of_model)} nats." for model, of_model in found.items()]
