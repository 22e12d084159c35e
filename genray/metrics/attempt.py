"""Metrics one after the other: one that fails leaves the others standing, and its reason is kept."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from functools import cache

import numpy as np

from genray import metrics
from genray.errors import Fault, UserError
from genray.metrics.base import Context

Failures = dict[str, str]  # key of a score → why there is none, in one line

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
            reason = _reason(name, error)
            failed |= dict.fromkeys(metrics.load(name).SCORES, reason)
            _say(reason)
    return values


def _computed(name: str, context: Context) -> dict[str, float]:
    """Values that are finite, of features that are: comparisons with NaN are false, and would be counted as such."""
    if metrics.judges_samples(name):
        for what, seen in (("real images", context.real), ("samples", context.fake)):
            if bad := int((~np.isfinite(seen.features)).any(1).sum()):
                raise UserError(
                    f"{name} needs finite features, got NaN or infinity in those of {bad} of {len(seen)} {what}; "
                    f"look at the feature network"
                )
    values = metrics.load(name).compute(context)
    for key, value in values.items():
        if not math.isfinite(value):
            raise UserError(
                f"{name}: {key} must be finite, got {value}; look at the samples, or leave {name} out of metrics"
            )
    return values


def _reason(name: str, error: Exception) -> str:
    """What was raised, as one line that names the metric."""
    text = " ".join(str(error).split()) or "without a message"
    if not isinstance(error, UserError | Fault):
        text = f"{type(error).__name__}: {text}; leave {name} out of metrics if that stays so"
    return text if text.startswith(name) else f"{name}: {text}"


@cache
def _say(reason: str) -> None:
    """Once a process, as it may be so at every evaluation."""
    _log.warning("a metric failed: %s", reason)
