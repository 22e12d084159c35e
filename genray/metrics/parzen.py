"""Parzen-window log-likelihood of real images: a Gaussian kernel on every sample, its width chosen on other images.

Kept for the tables of older papers: it misorders models (Theis et al. 2016; Wu et al. 2017), and prefers those that
replay training images to the density itself. Not by scikit-learn's KernelDensity: its trees are hundreds of nats off
where σ is small beside distances (1.9.1, σ = 0.02 in 12 dimensions), and slow in hundreds of dimensions.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genray.dtypes import widest
from genray.errors import UserError
from genray.metrics.base import Context, Score

# N images whose density is asked for, M samples, D pixels, S widths

SIGMAS = tuple(np.geomspace(0.01, 1.0, 41).tolist())  # that are tried, for pixels in [0, 1]
_BLOCK = 250  # images whose distances to all samples are held at a time
MIN_IMAGES = 2
_SOURCE = "Breuleux et al. 2011; Goodfellow et al. 2014, arXiv:1406.2661"
SCORES = {
    "parzen": Score(
        "higher",
        "nats",
        "mean ln p(x) of real images under a Gaussian kernel on each sample, pixels in [0, 1]; comparable between "
        "equal numbers of samples only",
        _SOURCE,
        group="likelihood",
    ),
    "parzen_error": Score(
        "none",
        "nats",
        "its standard error over the real images, the papers' ±",
        _SOURCE,
        error_of="parzen",
        group="likelihood",
    ),
    "parzen_sigma": Score(
        "none", "", "the width of its kernel, chosen on images that it is not scored on", _SOURCE, group="likelihood"
    ),
}


def compute(context: Context) -> dict[str, float]:
    """Mean over the split. Raises UserError without images to choose the width on."""
    if context.tuning is None:
        raise UserError("parzen needs images to choose sigma on; give `tuning` to make_judge")
    samples = context.samples.images
    sigma = best_sigma(context.tuning.images, samples, context.device)
    [nats] = log_density(context.split.images, samples, [sigma], context.device)
    return {
        "parzen": float(nats.mean()),
        "parzen_error": float(nats.std(correction=1)) / len(nats) ** 0.5,
        "parzen_sigma": sigma,
    }


def best_sigma(images: NDArray[np.uint8], samples: NDArray[np.uint8], device: torch.device) -> float:
    """The one of SIGMAS under which these images (N, C, H, W) are likeliest."""
    best: float = SIGMAS[int(log_density(images, samples, SIGMAS, device).mean(1).argmax())]
    return best


def log_density(
    images: NDArray[np.uint8], samples: NDArray[np.uint8], sigmas: list[float] | tuple[float, ...], device: torch.device
) -> Tensor:
    """ln (1/M) Σ N(x; sample, σ²) (S, N) of each image, both uint8 (…, C, H, W), as a density over [0, 1]^D."""
    x_ND, centers_MD = _pixels(images, device), _pixels(samples, device)
    num_samples, num_pixels = centers_MD.shape
    blocks = []
    for start in range(0, len(x_ND), _BLOCK):
        squared = torch.cdist(x_ND[start : start + _BLOCK], centers_MD).square()
        blocks.append(torch.stack([(squared / (-2 * s**2)).logsumexp(1) for s in sigmas]))
    constants = torch.tensor(
        [num_pixels * math.log(s * math.sqrt(2 * math.pi)) for s in sigmas], dtype=x_ND.dtype, device=device
    )
    return torch.cat(blocks, dim=1) - math.log(num_samples) - constants[:, None]


def _pixels(images: NDArray[np.uint8], device: torch.device) -> Tensor:
    return torch.tensor(images, device=device).flatten(1).to(widest(device)) / 255
