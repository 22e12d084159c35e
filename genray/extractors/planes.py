"""The extractor of stacked images: that of the digits, on each plane by itself.

A classifier of 1,000 modes would have to learn each from 128 images, and three tasks from one label. The digits' own
tells 98 to 99 % of planes right, and a mode is known where its planes are: p(mode | x) = Π p(digit | plane).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genray.data.stacked import PLANES
from genray.extractors.base import FeatureSet
from genray.extractors.classifier import Classifier
from genray.images import to_uint8

# N images, D feature dimensions of a plane, K classes of a plane


@dataclass(frozen=True, eq=False)
class PlaneExtractor(Classifier):
    """An extractor of gray images, whose weights it has, applied to three planes."""

    def features(self, images: Tensor | NDArray[np.uint8], device: torch.device | str = "cpu") -> FeatureSet:
        """Of images (N, 3, H, W): features (N, 3D) side by side, and probabilities (N, K³) of the modes."""
        values = to_uint8(images) if isinstance(images, Tensor) else images
        seen = [super(PlaneExtractor, self).features(values[:, [plane]], device) for plane in range(PLANES)]
        probabilities = np.einsum("ni,nj,nk->nijk", *[plane.probabilities for plane in seen])
        features = np.concatenate([plane.features for plane in seen], axis=1)
        return FeatureSet(features, probabilities.reshape(len(values), -1))


def on_planes(extractor: Classifier) -> PlaneExtractor:
    """The same network, for images of which it sees a plane at a time."""
    recipe = extractor.recipe | {"planes": PLANES}
    return PlaneExtractor(f"{extractor.name} x {PLANES}", extractor.hash, recipe, extractor.spec, extractor.weights)
