"""Precision, recall, density and coverage: how samples and real images lie in each other's neighbourhoods.

Kynkäänniemi et al. 2019 (precision, recall) and Naeem et al. 2020 (density, coverage). A neighbourhood is the ball
around an image that reaches to its k-th nearest neighbour of its own kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor

from genray.metrics.base import Context, FeatureSet, Score

# N real images, M samples, B rows of a block, D feature dimensions

NEIGHBOURS = 5  # k, as in Naeem et al.; Kynkäänniemi et al. take 3
_BLOCK = 250  # rows of a distance matrix held at a time; 1,000 were a third slower, out of the cache

MIN_IMAGES = NEIGHBOURS + 1
_IMPROVED = "Kynkäänniemi et al. 2019, arXiv:1904.06991, k=5"
_RELIABLE = "Naeem et al. 2020, arXiv:2002.09797, k=5"
SCORES = {
    "precision": Score("higher", "", "share of samples that lie in a real image's neighbourhood", _IMPROVED),
    "recall": Score("higher", "", "share of real images that lie in a sample's neighbourhood", _IMPROVED),
    "density": Score("higher", "", "real neighbourhoods that a sample lies in, over k; can pass 1", _RELIABLE),
    "coverage": Score("higher", "", "share of real images with a sample in their neighbourhood", _RELIABLE),
}


def compute(context: Context) -> dict[str, float]:
    """The four shares. Distances are Euclidean, between features."""
    real_ND, fake_MD = _on_device(context.real, context.device), _on_device(context.fake, context.device)
    return prdc(real_ND, fake_MD, _radii_of(context.real, context.device), radii(fake_MD, NEIGHBOURS), NEIGHBOURS)


def prdc(real_ND: Tensor, fake_MD: Tensor, real_radii: Tensor, fake_radii: Tensor, k: int) -> dict[str, float]:
    """Precision, recall, density and coverage with neighbourhoods of the given radii (N,), (M,): those of k-th ones."""
    num_balls = torch.zeros(len(fake_MD), device=fake_MD.device, dtype=torch.int64)  # real ones around each sample
    recalled = covered = 0
    for rows, distances in _blocks(real_ND, fake_MD):
        within_real = distances < real_radii[rows, None]
        num_balls += within_real.sum(0)
        covered += int(within_real.any(1).sum())
        recalled += int((distances < fake_radii).any(1).sum())
    return {
        "precision": int((num_balls > 0).sum()) / len(fake_MD),
        "recall": recalled / len(real_ND),
        "density": int(num_balls.sum()) / (k * len(fake_MD)),
        "coverage": covered / len(real_ND),
    }


def radii(x_ND: Tensor, k: int) -> Tensor:
    """Distance (N,) of each row to its k-th nearest other row."""
    return torch.cat([distances.topk(k + 1, largest=False).values[:, -1] for _, distances in _blocks(x_ND, x_ND)])


@lru_cache(maxsize=2)
def _radii_of(images: FeatureSet, device: torch.device) -> Tensor:
    """Those of a judge's real images, which are the same at every evaluation."""
    return radii(_on_device(images, device), NEIGHBOURS)


def _on_device(images: FeatureSet, device: torch.device) -> Tensor:
    dtype = torch.float32 if device.type == "mps" else torch.float64  # MPS has no float64
    return torch.tensor(images.features, dtype=dtype, device=device)


def _blocks(x_ND: Tensor, y_MD: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Distances (B, M) from some rows of x to all of y."""
    for start in range(0, len(x_ND), _BLOCK):
        rows = slice(start, start + _BLOCK)
        yield rows, torch.cdist(x_ND[rows], y_MD)
