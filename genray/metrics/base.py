"""What a metric is given, and what it says of its scores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from genray.data.spec import Split
from genray.errors import Fault, UserError
from genray.extractors.base import FeatureSet, HasFeatures
from genray.images import to_float
from genray.models.base import Batch, GenerativeModel

# N images, D feature dimensions, K classes

CHUNK = 1_000  # images that a model is given at a time


ScoreGroup = Literal["fidelity", "diversity", "likelihood", "memorization", "conditional"]


@dataclass(frozen=True)
class Score:
    """How to read one number."""

    better: Literal["lower", "higher", "none"]  # none: neither end of the scale is good by itself
    unit: str  # "" for a pure number
    summary: str
    source: str
    judges: Literal["samples", "model"] = "samples"  # a model's own scores stand in its row from the prior alone
    error_of: str = ""  # the score whose error it is: kept in files, not compared
    alarm: str = ""  # what is to be said of a row that lies above real images by more than its interval,
    alarm_with: tuple[str, ...] = ()  # if it does so in these scores too
    agree_on: tuple[str, ...] = ()  # keys of `model` in which two rows must agree for this score to rank them
    group: ScoreGroup = "fidelity"  # where tables show it; conditional: judges what is made of a given image or label
    version: int = 1  # one more when the same images begin to score another number: older results do not compare


@dataclass(frozen=True)
class Context:
    """One evaluation. `split` holds the real images whose features are `real`, `samples` those whose are `fake`;
    `tuning` holds other real ones, on which a metric may choose what it has to choose."""

    real: FeatureSet
    fake: FeatureSet
    split: Split
    model: GenerativeModel | None  # None for the floor, where real images stand in for samples
    seed: int
    device: torch.device
    extractor: HasFeatures  # that of the classes: metrics here ask it for probabilities
    samples: Split  # with labels in the floor alone, where they are real images
    train: FeatureSet | None = None  # of the training split, where a metric of the judge looks at it
    tuning: Split | None = None


def real_batches(split: Split, device: torch.device | str, size: int = CHUNK) -> Iterator[tuple[int, Batch]]:
    """A split in batches as training has them, in order, each with the place of its first image."""
    for start in range(0, len(split), size):
        batch = {"image": to_float(split.images[start : start + size], device)}
        if split.labels is not None:
            batch["label"] = torch.tensor(split.labels[start : start + size], device=device)
        yield start, batch


class Metric(Protocol):
    """A file of this folder. One that needs `context.train` says so by `LOOKS_AT_TRAINING = True`, one that compares
    features by `LOOKS_AT_FEATURES = True`: of real images that are all alike it is not asked.

    One that may give {} says for want of what: `NEEDS = "a likelihood"` of a model, `NEEDS_LABELS = True` of a dataset.
    """

    SCORES: dict[str, Score]
    MIN_IMAGES: int  # of each kind, real ones and samples

    def compute(self, context: Context) -> dict[str, float]:
        """A value for each key of SCORES, or {} where the model or the dataset lacks what it needs. Raises UserError
        where the images cannot be measured so, with the metric, what it needs, the value and the fix."""


def require_finite(drawn: Tensor) -> None:
    """Refuses what a model drew, (n, …), where it is not finite: rounded to 8 bits, NaN is an image like any other."""
    if bad := int((~torch.isfinite(drawn)).flatten(1).any(1).sum()):
        raise Fault(
            f"samples must be finite, got {bad} of {len(drawn)} with NaN or infinity; lower optimizer.learning_rate"
        )


def require_images(metric: str, minimum: int, *, num_real: int, num_samples: int) -> None:
    """Refuses sets too small for a metric."""
    for what, count, fix in (
        ("samples", num_samples, "raise num_samples"),
        ("real images", num_real, "take a dataset with larger splits"),
    ):
        if count < minimum:
            raise UserError(f"{metric} needs at least {minimum} {what}, got {count}; {fix}")
