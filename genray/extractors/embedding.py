"""Features that another network or function gives, and beside them the classes that our classifier sees."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genray.errors import UserError
from genray.extractors.base import FeatureSet, NamedFeatures
from genray.extractors.weights import Weights
from genray.images import to_uint8

# n images of a chunk, N images, C channels, H height, W width, D feature dimensions

_CHUNK = 500  # images that a function is given at a time
_BATCH = 32  # images in a network at a time: its first layers take 10 MB for each

Embed = Callable[[NDArray[np.uint8], torch.device], Any]  # uint8 (n, C, H, W) → (n, D)


@dataclass(frozen=True, eq=False)
class Embedding:
    """A way to features, by what tells it from all others: `name` and `hash`."""

    name: str
    hash: str
    recipe: dict[str, Any]  # what a reader needs to make it again
    embed: Embed

    def array(self, images: NDArray[np.uint8], device: torch.device | str = "cpu") -> NDArray[np.float32]:
        """Features (N, D) of images uint8 (N, C, H, W). Raises UserError where they are not one row an image."""
        parts = []
        for start in range(0, len(images), _CHUNK):
            chunk = images[start : start + _CHUNK].copy()  # those of a sweep are read-only
            features = self.embed(chunk, torch.device(device))
            array = features.detach().cpu().numpy() if isinstance(features, Tensor) else np.asarray(features)
            if array.ndim != 2 or len(array) != len(chunk) or not array.shape[1] or array.dtype.kind not in "fiu":
                raise UserError(
                    f"extractor: {self.name} must give a row of numbers for each image, (n, D), got {array.dtype} "
                    f"{array.shape} for {len(chunk)} images; mend what it returns"
                )
            parts.append(array.astype(np.float32))
        if len(widths := {part.shape[1] for part in parts}) > 1:
            raise UserError(f"extractor: {self.name} must always give as many features, got {sorted(widths)}; mend it")
        return np.concatenate(parts)


@dataclass(frozen=True, eq=False)
class WithClasses(Embedding):
    """What a judge is given."""

    classifier: NamedFeatures  # of the dataset, by which the metrics of classes go

    def features(self, images: Tensor | NDArray[np.uint8], device: torch.device | str = "cpu") -> FeatureSet:
        """Features (N, D) as they come, and the classifier's probabilities (N, K). Floats in [-1, 1] are rounded to the
        256 values first."""
        values = to_uint8(images) if isinstance(images, Tensor) else images
        return FeatureSet(self.array(values, device), self.classifier.features(values, device).probabilities)


@dataclass(frozen=True)
class Network(ABC):
    """A known network of a library, with weights in a file."""

    name: str  # with the number of features, and of our version of all that is done around it
    num_features: int
    weights: Weights
    package: str  # as pip calls it
    module: str  # and as Python does

    @abstractmethod
    def build(self, state: dict[str, Tensor]) -> nn.Module:
        """The library's network, in evaluation mode, with weights as `read` gives them."""

    @abstractmethod
    def prepare(self, images: Tensor) -> Tensor:
        """uint8 (n, 3, H, W) → what the network takes, as the library prepares it."""

    def read(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """What the file holds, as `build` takes it."""
        return state

    def embedding(self) -> Embedding:
        """Raises UserError where the package or the file is missing."""
        try:
            importlib.import_module(self.module)
        except ImportError as error:
            raise UserError(
                f"extractor {self.name} needs the package {self.package} ({error}); pip install 'genray[extractors]', "
                "in a checkout launch/setup extractors"
            ) from None
        state = {name: value.numpy() for name, value in self.read(self.weights.load(self.name)).items()}
        library = f"{self.package} {version(self.package)}"
        recipe = {"library": library, "weights": self.weights.url, "sha256": self.weights.sha256}
        return Embedding(self.name, self.weights.sha256[:16], recipe, Weighted(self, state))


@dataclass(frozen=True, eq=False)
class Weighted:
    """A network and its weights as arrays, so that it can be pickled and shared between processes without a copy."""

    network: Network
    weights: dict[str, NDArray[Any]]

    def __call__(self, images: NDArray[np.uint8], device: torch.device) -> Tensor:
        """uint8 (n, C, H, W) → features (n, D). A grey image is repeated in the three channels.

        A network of this size runs on a GPU where this process sees one, even if the model that is judged does not: on
        one CPU core of a machine with other work, Inception took 0.9 s an image and ViT-S/14 0.7.
        """
        device = torch.device("cuda") if torch.cuda.is_available() else device
        module, parts = _build(self, device), []
        with torch.no_grad():
            for start in range(0, len(images), _BATCH):
                batch = torch.from_numpy(images[start : start + _BATCH]).expand(-1, 3, -1, -1)
                parts.append(module(self.network.prepare(batch).to(device)))
        return torch.cat([part[0] if isinstance(part, tuple) else part for part in parts]).float()


@lru_cache(maxsize=1)
def _build(weighted: Weighted, device: torch.device) -> nn.Module:
    state = {name: torch.tensor(value) for name, value in weighted.weights.items()}
    with torch.random.fork_rng(devices=[]):  # of weights that are replaced at once
        module = weighted.network.build(state)
    return module.to(device).eval().requires_grad_(False)
