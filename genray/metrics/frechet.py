"""Fréchet distance between Gaussians fitted to the features of real images and of samples. Heusel et al. 2017.

In float64. Distances between the features of different extractors do not compare.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genray.metrics.base import Context, Score

LOOKS_AT_FEATURES = True
MIN_IMAGES = 2  # for a covariance
SCORES = {
    "frechet": Score(
        better="lower",
        unit="",
        summary="Fréchet distance of Gaussians fitted to features; quality and diversity in one number",
        source="Heusel et al. 2017, arXiv:1706.08500, on the features of the experiment's extractor",
    )
}


def compute(context: Context) -> dict[str, float]:
    """{"frechet": squared distance}. A covariance needs two images of each kind."""
    real_ND, fake_ND = (torch.tensor(seen.features, dtype=torch.float64) for seen in (context.real, context.fake))
    return {"frechet": distance(real_ND, fake_ND)}


def distance(real_ND: Tensor, fake_ND: Tensor) -> float:
    """|μ - ν|² + tr(S + T - 2 (S T)^½) of the Gaussians fitted to two sets, float64 (N, D) and (M, D)."""
    (mu, S), (nu, T) = _gaussian(real_ND), _gaussian(fake_ND)  # noqa: N806  the paper's symbols
    root_trace = torch.linalg.eigvals(S @ T).sqrt().real.sum()
    squared = float((mu - nu).square().sum() + (S.trace() + T.trace()) - 2 * root_trace)
    return 0.0 if squared < 0 else squared  # rounding makes equal sets -1e-12; max() would make 0 of NaN too


def _gaussian(features_ND: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and unbiased covariance. In the order of torchmetrics' sums, so that its values are these to the last bit:
    to import it takes each process two seconds."""
    n = len(features_ND)
    mean = features_ND.sum(dim=0) / n
    scatter = features_ND.T @ features_ND - n * torch.outer(mean, mean)
    return mean, scatter / (n - 1)
