"""The in-domain extractor: a small classifier of the dataset itself, whose features the metrics compare.

Inception's features know photographs, not digits. A classifier of the dataset needs no download; its recipe and the
hash of its weights stand in every result, as distances by different extractors are not comparable.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genray.data.spec import DataSpec
from genray.extractors.base import FeatureSet
from genray.extractors.network import Network
from genray.images import to_uint8

# N images, C channels, H height, W width, D feature dimensions, K classes

CHUNK = 500  # images in the network at a time


@dataclass(frozen=True, eq=False)
class Classifier:
    """A trained network as arrays, so that it can be pickled and shared between processes without a copy."""

    name: str  # "digits-cnn32@1"
    hash: str  # of the weights: SHA-256, 16 hexadecimal digits
    recipe: dict[str, Any]  # what it was trained to tell apart, on what, and how well it does on the validation split
    spec: DataSpec
    weights: dict[str, NDArray[Any]]  # of `network.Network`, and `mean` and `std` (D,) of the training features

    @property
    def classifier(self) -> Classifier:
        return self

    def features(self, images: Tensor | NDArray[np.uint8], device: torch.device | str = "cpu") -> FeatureSet:
        """Features (N, D), each with mean 0 and variance 1 over the training split, and class probabilities (N, K).

        Images are uint8, or floats in [-1, 1], which are rounded to the 256 values first: a sample is judged as it
        would be saved, and as the real images were.
        """
        values = to_uint8(images) if isinstance(images, Tensor) else images
        module = _build(self, torch.device(device))
        features, probabilities = [], []
        with torch.no_grad():
            for start in range(0, len(values), CHUNK):
                features_ND, logits = module(torch.tensor(values[start : start + CHUNK], device=device))
                features.append(features_ND.cpu().numpy())
                probabilities.append(logits[:, :-1].softmax(1).cpu().numpy())
        standard = (np.concatenate(features) - self.weights["mean"]) / self.weights["std"]
        return FeatureSet(standard, np.concatenate(probabilities))


@lru_cache(maxsize=2)
def _build(extractor: Classifier, device: torch.device) -> Network:
    state = {name: torch.tensor(value) for name, value in extractor.weights.items() if name not in ("mean", "std")}
    with torch.random.fork_rng(devices=[]):
        module = Network(extractor.spec, len(state["classify.bias"]) - 1)
    module.load_state_dict(state)
    return module.to(device).eval()
