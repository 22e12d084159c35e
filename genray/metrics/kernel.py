"""Kernel distance: unbiased squared maximum mean discrepancy of features, cubic kernel. Bińkowski et al. 2018."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from genray.metrics.base import Context, Score
from genray.metrics.distances import on_device

NUM_SUBSETS = 25
MAX_SUBSET = 1_000  # images, as in the paper

LOOKS_AT_FEATURES = True
MIN_IMAGES = 4  # halves of two, without which nothing is unbiased
_SOURCE = "Bińkowski et al. 2018, arXiv:1801.01401, on the features of the experiment's extractor"
SCORES = {
    "kernel": Score("lower", "", "squared MMD of features, unbiased: 0 on average for equal sets", _SOURCE),
    "kernel_std": Score("none", "", "its standard deviation over 25 subsets of the images", _SOURCE, error_of="kernel"),
}


def compute(context: Context) -> dict[str, float]:
    """Mean and standard deviation over subsets: of 1,000 images, or of half of the smaller set where that is less.

    Subsets are drawn from the context's seed, and not from torch's global random state.
    """
    real_ND, fake_MD = (on_device(images, context.device) for images in (context.real, context.fake))
    size = min(MAX_SUBSET, len(real_ND) // 2, len(fake_MD) // 2)
    random = np.random.default_rng(context.seed)
    values = []
    for _ in range(NUM_SUBSETS):
        real, fake = (images[random.choice(len(images), size, replace=False)] for images in (real_ND, fake_MD))
        values.append(squared_mmd(real, fake))
    found = torch.stack(values).cpu().numpy()
    return {"kernel": float(found.mean()), "kernel_std": float(found.std())}


def squared_mmd(x_ND: Tensor, y_ND: Tensor) -> Tensor:
    """(), unbiased, of as many of either kind, with k(x, y) = (x·y / D + 1)³. To import torchmetrics, whose sums are
    in the same order, takes each process two seconds."""
    n = len(x_ND)
    xx, xy, yy = _kernel(x_ND, x_ND), _kernel(x_ND, y_ND), _kernel(y_ND, y_ND)
    within = (xx.sum(1) - xx.diag()).sum() + (yy.sum(1) - yy.diag()).sum()
    return within / (n * (n - 1)) - 2 * xy.sum(0).sum() / n**2


def _kernel(x_ND: Tensor, y_MD: Tensor) -> Tensor:
    return (x_ND @ y_MD.T * (1 / x_ND.shape[1]) + 1) ** 3
