"""One file a metric. `load("frechet")` imports `genray.metrics.frechet`; there is no registry to add a name to."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, cast

from genray.errors import UserError, nearest

if TYPE_CHECKING:
    from genray.metrics.base import Metric, Score

_NOT_METRICS = {"base", "distances"}


def names() -> list[str]:
    """The metrics that are there: this folder's files, but for what they share."""
    return list(_names(tuple(__path__)))


@functools.cache  # asked for every metric of every experiment
def _names(path: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(module.name for module in pkgutil.iter_modules(path) if module.name not in _NOT_METRICS))


def load(name: str) -> Metric:
    """The file of a metric, by its name: `SCORES` and `compute`."""
    if name not in names():
        raise UserError(f"{name!r} is not a metric{nearest(name, names())}")
    return cast("Metric", importlib.import_module(f"genray.metrics.{name}"))


def judges_samples(name: str) -> bool:
    """Whether samples are what it looks at; otherwise it judges the model, however that is sampled."""
    return any(score.judges == "samples" for score in load(name).SCORES.values())


def leading(metric_names: Iterable[str], row: Mapping[str, float]) -> tuple[str, bool] | None:
    """The first score of these metrics, in their order, that a row of validation has and that has a better end: its key
    in the row, and whether higher is better. None where there is none."""
    for name in metric_names:
        for key, score in load(name).SCORES.items():
            if score.better != "none" and f"validation/{key}" in row:
                return f"validation/{key}", score.better == "higher"
    return None


def look_at_training(metric_names: Iterable[str]) -> bool:
    """Whether one of the metrics needs the features of the training split."""
    return any(getattr(load(name), "LOOKS_AT_TRAINING", False) for name in metric_names)


def scores() -> dict[str, Score]:
    """Every key that some metric gives: {"frechet": …, "precision": …, "recall": …}."""
    return {key: score for name in names() for key, score in load(name).SCORES.items()}
