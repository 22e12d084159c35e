"""Fréchet distance between Gaussians fitted to the features of real images and of samples. Heusel et al. 2017.

torchmetrics computes it, in float64, on our extractor's features. It is not comparable with distances on Inception's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genray.metrics.base import Context, Score

MIN_IMAGES = 2  # for a covariance
SCORES = {
    "frechet": Score(
        better="lower",
        unit="",
        summary="Fréchet distance of Gaussians fitted to in-domain features; quality and diversity in one number",
        source="Heusel et al. 2017, arXiv:1706.08500, with an in-domain extractor in place of Inception",
    )
}


class _Identity(nn.Module):
    """Features go in where torchmetrics expects images."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features_ND: Tensor) -> Tensor:
        return features_ND


def compute(context: Context) -> dict[str, float]:
    """{"frechet": squared distance}. A covariance needs two images of each kind."""
    from torchmetrics.image.fid import FrechetInceptionDistance  # takes seconds

    distance = FrechetInceptionDistance(feature=_Identity(context.real.features.shape[1]), sync_on_compute=False)
    distance.update(torch.tensor(context.real.features, dtype=torch.float64), real=True)
    distance.update(torch.tensor(context.fake.features, dtype=torch.float64), real=False)
    return {"frechet": max(0.0, float(distance.compute()))}  # rounding makes equal sets -1e-12
