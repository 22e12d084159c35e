"""What an extractor is, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# N images, D feature dimensions, K classes


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """What is seen in N images: features float32 (N, D) by the extractor, class probabilities float32 (N, K) by its
    classifier."""

    features: NDArray[np.float32]
    probabilities: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.features)


class HasFeatures(Protocol):
    def features(self, images: Tensor | NDArray[np.uint8], device: torch.device | str = "cpu") -> FeatureSet:
        """Of images (N, C, H, W), uint8 or floats in [-1, 1]."""


class NamedFeatures(HasFeatures, Protocol):
    @property
    def name(self) -> str: ...

    @property
    def hash(self) -> str:
        """Together with the name, what must be the same where scores are compared."""


class Extractor(NamedFeatures, Protocol):
    """Whose features a judge looks at."""

    @property
    def recipe(self) -> dict[str, Any]: ...

    @property
    def classifier(self) -> NamedFeatures:
        """Which network tells classes: the extractor itself, where it is one of the dataset."""
