"""Precision, recall, density and coverage: how samples and real images lie in each other's neighbourhoods.

Kynkäänniemi et al. 2019 (precision, recall) and Naeem et al. 2020 (density, coverage). A neighbourhood is the ball
around an image that reaches to its k-th nearest neighbour of its own kind.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from genray.extractors.base import FeatureSet
from genray.metrics.base import Context, Score
from genray.metrics.distances import on_device, squared_blocks

# N real images, M samples, D feature dimensions

NEIGHBOURS = 5  # k, as in Naeem et al.; Kynkäänniemi et al. take 3
LOOKS_AT_FEATURES = True
MIN_IMAGES = NEIGHBOURS + 1
_IMPROVED = "Kynkäänniemi et al. 2019, arXiv:1904.06991, k=5"
_RELIABLE = "Naeem et al. 2020, arXiv:2002.09797, k=5"
SCORES = {
    "precision": Score("higher", "", "share of samples that lie in a real image's neighbourhood", _IMPROVED),
    "recall": Score(
        "higher", "", "share of real images that lie in a sample's neighbourhood", _IMPROVED, group="diversity"
    ),
    "density": Score("higher", "", "real neighbourhoods that a sample lies in, over k; can pass 1", _RELIABLE),
    "coverage": Score(
        "higher", "", "share of real images with a sample in their neighbourhood", _RELIABLE, group="diversity"
    ),
}


def compute(context: Context) -> dict[str, float]:
    """The four shares. Distances are Euclidean, between features."""
    real_ND, fake_MD = on_device(context.real, context.device), on_device(context.fake, context.device)
    real_radii, fake_radii = _squared_radii_of(context.real, context.device), squared_radii(fake_MD, NEIGHBOURS)
    return prdc(real_ND, fake_MD, real_radii, fake_radii, NEIGHBOURS)


def prdc(real_ND: Tensor, fake_MD: Tensor, real_radii: Tensor, fake_radii: Tensor, k: int) -> dict[str, float]:
    """Precision, recall, density and coverage with neighbourhoods of the given squared radii (N,), (M,): those of k-th
    neighbours."""
    num_balls = torch.zeros(len(fake_MD), device=fake_MD.device, dtype=torch.int64)  # real ones around each sample
    recalled = covered = 0
    for rows, squared in squared_blocks(real_ND, fake_MD):
        within_real = squared < real_radii[rows, None]
        num_balls += within_real.sum(0, dtype=torch.int32)
        covered += int(within_real.any(1).sum())
        recalled += int((squared < fake_radii).any(1).sum())
    return {
        "precision": int((num_balls > 0).sum()) / len(fake_MD),
        "recall": recalled / len(real_ND),
        "density": int(num_balls.sum()) / (k * len(fake_MD)),
        "coverage": covered / len(real_ND),
    }


def squared_radii(x_ND: Tensor, k: int) -> Tensor:
    """Squared distance (N,) of each row to its k-th nearest other row."""
    return torch.cat([squared.topk(k + 1, largest=False).values[:, -1] for _, squared in squared_blocks(x_ND, x_ND)])


@lru_cache(maxsize=2)
def _squared_radii_of(images: FeatureSet, device: torch.device) -> Tensor:
    """Those of a judge's real images, which are the same at every evaluation."""
    return squared_radii(on_device(images, device), NEIGHBOURS)
