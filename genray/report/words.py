"""Numbers and conclusions as a person reads them. Every sentence is derived from means and intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genray.intervals import best_first, overlap
from genray.report.comparison import better, known_scores, metric_names

# Spelling that a key cannot carry; any other key is shown with its underscores as spaces.
SPELLING = {
    "frechet": "Fréchet distance",
    "fd_infinity": "FD∞",
    "kernel": "Kernel distance",
    "swd": "Sliced Wasserstein distance",
    "ms_ssim": "MS-SSIM",
    "elbo": "ELBO",
    "conditional_elbo": "Conditional ELBO",
    "joint_elbo": "Joint ELBO",
    "elbo_2_given_1": "ELBO of x₂ given x₁",
    "elbo_1_given_2": "ELBO of x₁ given x₂",
    "joint_ll": "Joint log-likelihood",
    "image_ll": "Image log-likelihood",
    "importance_bound": "Importance-weighted bound",
    "ais": "AIS log-likelihood",
    "ais_gaussian": "AIS log-likelihood, Gaussian noise",
    "parzen": "Parzen log-likelihood",
    "parzen_sigma": "Parzen σ",
    "cross_coherence_1_to_2": "Coherence of x₂ made of x₁",
    "cross_coherence_2_to_1": "Coherence of x₁ made of x₂",
    "train_seconds": "Training seconds",
}
ARROWS = {"lower": "↓", "higher": "↑"}
DIRECTIONS = {"lower": "lower is better", "higher": "higher is better"}
MOST_DIGITS = 12  # of a mean: beyond, an interval is rounding


def title(metric: str) -> str:
    return SPELLING.get(metric) or metric.replace("_", " ").capitalize()


def in_sentence(metric: str) -> str:
    """The title inside a sentence: `recall`, but `Fréchet distance` and `ELBO`."""
    name = title(metric)
    plain = ("Fréchet", "FD", "MS-SSIM", "ELBO", "AIS", "Parzen")
    return name if name.startswith(plain) else name[:1].lower() + name[1:]


def unit(metric: str) -> str:
    score = known_scores().get(metric)
    return score.unit if score else ""


def summary(metric: str) -> str:
    """What it measures, beginning with a capital."""
    score = known_scores().get(metric)
    return score.summary[:1].upper() + score.summary[1:] if score else ""


def source(metric: str) -> str:
    score = known_scores().get(metric)
    return score.source if score else ""


def number(value: float | None, *, digits: int = 3) -> str:
    """`digits` significant digits, without an exponent where that stays short: 41,234  0.0213  1.2e-06."""
    if value is None or not math.isfinite(value):
        return "n/a"
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e9:
        return f"{value:.{digits - 1}e}"
    return f"{value:,.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"


def estimate(mean: float, ci95: float | None) -> str:
    """`6.18 ± 0.24`: as many decimals as make two digits of the interval, which has an exponent where they are more
    than six: `-1.0656420 ± 5.8e-06`; `6.184 ± n/a` where there is none."""
    if ci95 is None:
        return f"{number(mean, digits=4)} ± n/a"
    if ci95 == 0:
        return f"{number(mean, digits=4)} ± 0"
    decimals = max(0, 1 - math.floor(math.log10(ci95)))
    if decimals > 6:
        digits = decimals + 1 + math.floor(math.log10(abs(mean) or 1))
        return f"{number(mean, digits=min(max(digits, 1), MOST_DIGITS))} ± {ci95:.1e}"
    return f"{mean:,.{decimals}f} ± {ci95:,.{decimals}f}"


def duration(seconds: float | None) -> str:
    """`8.4 s`, `2 min 40 s`, `3 h 12 min`."""
    if seconds is None:
        return "n/a"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def counted(count: int, noun: str) -> str:
    """`1 epoch`, `2 epochs`"""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`"""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


@dataclass(frozen=True)
class Verdict:
    """Who is best at one metric, and whom the seeds do not tell from the best."""

    metric: str
    best: str  # label of the row
    value: str  # `6.18 ± 0.24`
    contested: bool  # whether another row has the metric
    tied: tuple[str, ...]  # labels of rows whose interval touches the best one's, from better to worse
    standing: str  # what the intervals say: `clear of every other`
    sentence: str


def verdicts(comparison: Mapping[str, Any]) -> list[Verdict]:
    """For each metric that has a better end, the primary one first."""
    ranked = [(name, best_first(comparison["rows"], name, better(name))) for name in metric_names(comparison)]
    return [_verdict(name, rows, comparison) for name, rows in ranked if rows and better(name) in ARROWS]


def answer(comparison: Mapping[str, Any]) -> str:
    """What the primary metric says, or the first that has a better end."""
    return next((verdict.sentence for verdict in verdicts(comparison)), "")


def _verdict(metric: str, rows: Sequence[Mapping[str, Any]], comparison: Mapping[str, Any]) -> Verdict:
    best, *others = rows
    mine = best["metrics"][metric]
    value = estimate(mine["mean"], mine["ci95"])
    tied = tuple(row["label"] for row in others if overlap(mine, row["metrics"][metric]))
    known = mine["ci95"] is not None and all(row["metrics"][metric]["ci95"] is not None for row in others)
    if not others:
        standing = "no other row has it" if len(comparison["rows"]) > 1 else "the only row"
        sentence = f"{best['label']}: {in_sentence(metric)} {value}{_beside_floor(metric, comparison)}."
        return Verdict(metric, best["label"], value, False, tied, standing, sentence)
    if differing := _differing(metric, rows):
        standing = f"not ranked: its rows differ in {listed(differing)}, and so do not compare"
        sentence = f"{in_sentence(metric)[:1].upper()}{in_sentence(metric)[1:]} is {standing}."
        return Verdict(metric, best["label"], value, False, (), standing, sentence)
    second = others[0]["metrics"][metric]
    runner_up = f"next {others[0]['label']}, {estimate(second['mean'], second['ci95'])}"
    if not known:
        standing = f"one seed gives no interval to tell rows apart by; {runner_up}"
    elif tied:
        standing = f"its interval overlaps that of {listed(tied)}, so these intervals do not settle which is better"
    else:
        standing = f"its interval is clear of every other; {runner_up}"
    end = "lowest" if better(metric) == "lower" else "highest"
    sentence = f"{best['label']} has the {end} {in_sentence(metric)}, {value}: {standing}."
    return Verdict(metric, best["label"], value, True, tied, standing, sentence)


def _differing(metric: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Keys of the models' configurations that must agree for this metric to rank rows, and do not."""
    score = known_scores().get(metric)
    keys = score.agree_on if score else ()
    return [f"model.{key}" for key in keys if len({row["config"]["model"].get(key) or None for row in rows}) > 1]


def _beside_floor(metric: str, comparison: Mapping[str, Any]) -> str:
    floor = comparison["floor"].get(metric)
    return f"; real images score {estimate(floor['mean'], floor.get('ci95'))}" if floor else ""
