"""Scoring: a model's samples against a split of real images, by every metric that was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from genray import metrics
from genray.data.spec import Split
from genray.errors import Fault
from genray.images import to_uint8
from genray.metrics.base import Context, FeatureSet
from genray.metrics.features import Extractor
from genray.models.base import GenerativeModel
from genray.nn.noise import Noise

# N images, C channels, H height, W width

MAX_SAMPLES = 10_000
_CHUNK = 1_000  # samples drawn at a time


@dataclass(frozen=True)
class Judge:
    """All that scoring needs besides the model. It can be pickled, and shared between processes without a copy."""

    extractor: Extractor
    split: Split
    real: FeatureSet  # of `split`
    metrics: tuple[str, ...]
    num_samples: int

    def score(self, model: GenerativeModel, *, seed: int, device: torch.device | str = "cpu") -> dict[str, float]:
        """Every metric's values, {"frechet": …, "precision": …}, of `num_samples` samples that depend on `seed` alone.

        A metric that the model lacks the means for is left out. Raises Fault where a sample is not finite.
        """
        with evaluating(model):
            parts = [
                self.extractor.features(images, device)
                for images in draw(model, self.num_samples, seed=seed, device=device)
            ]
            fake = FeatureSet(
                np.concatenate([part.features for part in parts]),
                np.concatenate([part.probabilities for part in parts]),
            )
            return self.compare(fake, model=model, seed=seed, device=device)

    def compare(
        self, fake: FeatureSet, *, model: GenerativeModel | None = None, seed: int, device: torch.device | str = "cpu"
    ) -> dict[str, float]:
        """The values for given features, of samples or of images that stand in for them."""
        context = Context(self.real, fake, self.split, model, seed, torch.device(device))
        return {key: value for name in self.metrics for key, value in metrics.load(name).compute(context).items()}


def make_judge(
    extractor: Extractor, split: Split, metric_names: tuple[str, ...], num_samples: int | None = None
) -> Judge:
    """A judge over a split. `num_samples` is by default the number of images of the split, 10,000 at most."""
    for name in metric_names:
        metrics.load(name)
    count = num_samples or min(len(split), MAX_SAMPLES)
    return Judge(extractor, split, extractor.features(split.images), tuple(metric_names), count)


def draw(
    model: GenerativeModel, num_samples: int, *, seed: int, device: torch.device | str = "cpu"
) -> Iterator[NDArray[np.uint8]]:
    """Samples as uint8 (n, C, H, W), at most 1,000 at a time: the memory needed does not grow with their number."""
    for chunk, start in enumerate(range(0, num_samples, _CHUNK)):
        n = min(_CHUNK, num_samples - start)
        with torch.no_grad():
            images = model.sample(n, Noise(seed, "sample", chunk, device=device))
        if not torch.isfinite(images).all():
            bad = int((~torch.isfinite(images)).flatten(1).any(1).sum())
            raise Fault(f"samples must be finite, got {bad} of {n} with NaN or infinity; lower the learning rate")
        yield to_uint8(images)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; the module's own mode is put back."""
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        module.train(was_training)
