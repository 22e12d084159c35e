"""Fréchet distance between Gaussians fitted to the features of real images and of samples. Heusel et al. 2017.

torchmetrics computes it, in float64. Distances between the features of different extractors do not compare.
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
        summary="Fréchet distance of Gaussians fitted to features; quality and diversity in one number",
        source="Heusel et al. 2017, arXiv:1706.08500, on the features of the experiment's extractor",
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
    real_ND, fake_ND = (torch.tensor(seen.features, dtype=torch.float64) for seen in (context.real, context.fake))
    return {"frechet": distance(real_ND, fake_ND)}


def distance(real_ND: Tensor, fake_ND: Tensor) -> float:
    """|μ - ν|² + tr(S + T - 2 (S T)^½) of the Gaussians fitted to two sets, float64 (N, D) and (M, D)."""
    from torchmetrics.image.fid import FrechetInceptionDistance  # takes seconds

    metric = FrechetInceptionDistance(feature=_Identity(real_ND.shape[1]), sync_on_compute=False)
    metric.update(real_ND, real=True)
    metric.update(fake_ND, real=False)
    squared = float(metric.compute())
    return 0.0 if squared < 0 else squared  # rounding makes equal sets -1e-12; max() would make 0 of NaN too
