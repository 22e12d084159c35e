"""What a metric is given, and what it says of its scores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genray.data.spec import Split
from genray.errors import UserError
from genray.images import to_float
from genray.models.base import Batch, GenerativeModel

# N images, D feature dimensions, K classes

CHUNK = 1_000  # images that a model is given at a time


@dataclass(frozen=True)
class Score:
    """How to read one number."""

    better: Literal["lower", "higher", "none"]  # none: neither end of the scale is good by itself
    unit: str  # "" for a pure number
    summary: str
    source: str
    judges: Literal["samples", "model"] = "samples"  # a model's own scores stand in its row from the prior alone
    error_of: str = ""  # the score whose error it is: kept in files, not compared
    agree_on: tuple[str, ...] = ()  # keys of `model` in which two rows must agree for this score to rank them


class HasFeatures(Protocol):
    def features(self, images: Tensor | NDArray[np.uint8], device: torch.device | str = "cpu") -> FeatureSet:
        """Of images (N, C, H, W), uint8 or floats in [-1, 1]."""


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """What the extractor sees in N images: features float32 (N, D) and class probabilities float32 (N, K)."""

    features: NDArray[np.float32]
    probabilities: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True)
class Context:
    """One evaluation. `split` holds the real images whose features are `real`."""

    real: FeatureSet
    fake: FeatureSet
    split: Split
    model: GenerativeModel | None  # None for the floor, where real images stand in for samples
    seed: int
    device: torch.device
    extractor: HasFeatures


def some_of(split: Split, count: int) -> Split:
    """At most `count` images, evenly spread over a split."""
    index = np.linspace(0, len(split) - 1, min(count, len(split)), dtype=int)
    return Split(split.images[index], None if split.labels is None else split.labels[index])


def real_batches(split: Split, device: torch.device, size: int = CHUNK) -> Iterator[tuple[int, Batch]]:
    """A split in batches as training has them, in order, each with the place of its first image."""
    for start in range(0, len(split), size):
        batch = {"image": to_float(split.images[start : start + size], device)}
        if split.labels is not None:
            batch["label"] = torch.tensor(split.labels[start : start + size], device=device)
        yield start, batch


class Metric(Protocol):
    """A file of this folder."""

    SCORES: dict[str, Score]
    MIN_IMAGES: int  # of each kind, real ones and samples

    def compute(self, context: Context) -> dict[str, float]:
        """A value for each key of SCORES, or {} where the model cannot be measured so."""


def require_images(metric: str, minimum: int, *, num_real: int, num_samples: int) -> None:
    """Refuses sets too small for a metric."""
    for what, count, fix in (
        ("samples", num_samples, "raise num_samples"),
        ("real images", num_real, "take a dataset with larger splits"),
    ):
        if count < minimum:
            raise UserError(f"{metric} needs at least {minimum} {what}, got {count}; {fix}")
