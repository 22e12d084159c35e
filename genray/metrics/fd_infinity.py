"""FD∞: the Fréchet distance that infinitely many images would have, by a straight line in 1/N. Chong & Forsyth 2020.

The distance of N images is too large by some a/N, and a depends on the model: of two models, the worse one may look
better. Chong & Forsyth let the number of samples alone grow, as their real images are the whole data set. Ours are a
split of some hundreds, which adds a bias of its own: subsets of both kinds have the same size here, so that the line's
value at 1/N = 0 is free of either, and equal distributions are at 0 on average, below it as often as above.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from genray.errors import UserError
from genray.metrics.base import Context, Score
from genray.metrics.frechet import distance

# N images of a subset, D feature dimensions, S subsets

NUM_SIZES = 15  # as in the paper
NUM_SUBSETS = 2  # of each size; the paper has one, of 5,000 to 50,000 images, where less depends on which
LOOKS_AT_FEATURES = True
MIN_IMAGES = 4  # of one feature; `compute` knows how many there are
SCORES = {
    "fd_infinity": Score(
        better="lower",
        unit="",
        summary="Fréchet distance of features, extrapolated to infinitely many images; 0 for equal sets",
        source="Chong & Forsyth 2020, arXiv:1911.07023, §4; real images as many as samples",
    )
}


def compute(context: Context) -> dict[str, float]:
    """Raises UserError where there are fewer images of either kind than twice the feature dimensions, plus 2: below
    one image more than dimensions a covariance has no inverse, and the distance is no straight line in 1/N."""
    real_ND, fake_ND = (torch.tensor(s.features, dtype=torch.float64) for s in (context.real, context.fake))
    sizes = subset_sizes(min(len(real_ND), len(fake_ND)), real_ND.shape[1])
    random = np.random.default_rng(context.seed)
    distances = [distance(_some(real_ND, size, random), _some(fake_ND, size, random)) for size in sizes]
    return {"fd_infinity": intercept(1 / sizes, np.array(distances))}


def subset_sizes(num_images: int, num_features: int) -> NDArray[np.int64]:
    """Sizes (S,), evenly spaced from a tenth of the images, or where that is less from one more than dimensions."""
    smallest = num_features + 1
    if num_images < 2 * smallest:
        raise UserError(
            f"fd_infinity needs at least {2 * smallest} images of each kind for {num_features} features, "
            f"got {num_images}; raise num_samples, or take a dataset with larger splits"
        )
    sizes = np.linspace(max(smallest, num_images // 10), num_images, NUM_SIZES).round().astype(np.int64)
    return sizes.repeat(NUM_SUBSETS)


def intercept(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Value at x = 0 of the least-squares line through points (S,)."""
    slope = np.cov(x, y)[0, 1] / np.var(x, ddof=1)
    return float(y.mean() - slope * x.mean())


def _some(x_ND: torch.Tensor, size: int, random: np.random.Generator) -> torch.Tensor:
    return x_ND[random.choice(len(x_ND), size, replace=False)]
