"""Metrics one after the other: one that fails or does not apply leaves the others standing, and its reason is kept."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genray import metrics
from genray.config import Experiment
from genray.data.spec import Split
from genray.errors import Fault, UserError
from genray.metrics.base import Context
from genray.samplers import PRIOR

# N images, D feature dimensions

ROUNDING = 1e-5  # of the largest feature: what differs by less is the same in float32

Failures = dict[str, str]  # key of a score → why there is none, in one line
SAMPLES = "samples"  # a key of failures: why there are no samples to judge

_log = logging.getLogger(__name__)


def compute_each(names: Sequence[str], context: Context, failed: Failures | None = None) -> dict[str, float]:
    """The values of all metrics. Where `failed` is given, one that raises, or gives a value that is not finite, has its
    reason put there, under each of its keys; without it, that is raised."""
    values: dict[str, float] = {}
    for name in names:
        try:
            values |= _computed(name, context)
        except Exception as error:  # of NumPy, SciPy, PyTorch, a metric of a user's own: there is no end of kinds
            if failed is None:
                raise
            fail(name, error, failed)
    return values


def fail(name: str, error: Exception, failed: Failures) -> None:
    """Keeps why a metric has no value, under each of its keys."""
    reason = _reason(name, error)
    failed |= dict.fromkeys(metrics.load(name).SCORES, reason)
    _say(f"a metric failed: {reason}")


def left_out(
    experiment: Experiment, given: Collection[str], split: Split, sampled_from: Sequence[str]
) -> dict[str, str]:
    """Why metrics that an experiment names itself were not asked, or gave {}: those without a key among `given`, which
    holds the keys of values and of failures. Not of metrics by default, which are there where a model has them."""
    return {
        name: _why_not(name, experiment, split, sampled_from)
        for name in experiment.named_metrics
        if metrics.load(name).SCORES.keys().isdisjoint(given)
    }


def say_left_out(reasons: Mapping[str, str]) -> None:
    for name, reason in reasons.items():
        _say(f"{name} is left out: it {reason}")


def _why_not(name: str, experiment: Experiment, split: Split, sampled_from: Sequence[str]) -> str:
    metric = metrics.load(name)
    if PRIOR not in sampled_from and not metrics.judges_samples(name):
        return f"judges a model, not samples from {', '.join(sampled_from)}; name {PRIOR} in sampled_from too"
    if getattr(metric, "NEEDS_LABELS", False) and split.labels is None:
        return f"needs labels, which {experiment.dataset} does not have"
    return f"needs {getattr(metric, 'NEEDS', 'more')}, which {experiment.model.name} does not have"


def _computed(name: str, context: Context) -> dict[str, float]:
    """Values that are finite, of features that are: comparisons with NaN are false, and would be counted as such."""
    if metrics.judges_samples(name):
        for what, seen in (("real images", context.real), ("samples", context.fake)):
            if bad := int((~np.isfinite(seen.features)).any(1).sum()):
                raise UserError(
                    f"{name} needs finite features, got NaN or infinity in those of {bad} of {len(seen)} {what}; "
                    f"look at the feature network"
                )
    if getattr(metrics.load(name), "LOOKS_AT_FEATURES", False):
        real_ND = context.real.features
        if _all_alike(real_ND) or _all_alike(context.split.images):
            raise UserError(
                f"{name} needs real images that differ, got {len(real_ND)} without variance in any of "
                f"{real_ND.shape[1]} features; take a dataset whose images differ, or another extractor"
            )
    values = metrics.load(name).compute(context)
    for key, value in values.items():
        if not math.isfinite(value):
            raise UserError(
                f"{name}: {key} must be finite, got {value}; look at the samples, or leave {name} out of metrics"
            )
    return values


def _all_alike(rows: NDArray[Any]) -> bool:
    """Whether none differs from the first by more than rounding. Over after the second row, where that differs."""
    first = rows[0].astype(np.float64)
    most = ROUNDING * np.abs(first).max()
    return all(np.abs(row - first).max() <= most for row in rows)


def _reason(name: str, error: Exception) -> str:
    """What was raised, as one line that names the metric."""
    text = " ".join(str(error).split()) or "without a message"
    if not isinstance(error, UserError | Fault):
        text = f"{type(error).__name__}: {text}; leave {name} out of metrics if that stays so"
    return text if text.startswith(name) else f"{name}: {text}"


@cache
def _say(text: str) -> None:
    """Once a process, as it may be so at every evaluation."""
    _log.warning("%s", text)
