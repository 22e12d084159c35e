"""Multi-scale structural similarity of pairs of samples: high where a model draws the same again. Odena et al. 2017.

torchmetrics computes it, in its own convention: contrast and structure of each scale over windows that lie inside the
image, and the whole SSIM of the coarsest at each of its pixels, images mirrored at their edges. Wang et al. 2003 take
windows inside there too. In 28 x 28 that leaves 4 x 4 windows in the middle of 14 x 14 pixels, where MNIST's digits are
and not their black edges: 1,000 pairs of its test images are at 0.201 here and at 0.131 so, and one pair lies up to
0.47 apart (`tests/metrics/test_ms_ssim.py`).

Its windows of 11 x 11 must fit into the image at each scale, and it asks for more room than
that for three scales and more. So there are the five scales of Wang et al. from 176 pixels a side, four from 99, three
from 44, two from 22 (as the second is half as large) and one below, with their weights brought to a sum of 1; and in
images below 11 pixels the window is the largest odd one that fits, its Gaussian narrower by as much. Values of images
of one size compare, others do not.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from genray.errors import UserError
from genray.images import to_float
from genray.metrics.base import CHUNK, Context, Score

# N pairs of images

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, finest first; Wang et al. 2003
SMALLEST = (1, 22, 44, 99, 176)  # side of the images that have 1, 2, … scales
WINDOW, SIGMA = 11, 1.5  # pixels
SMALLEST_WINDOW = 3
MAX_PAIRS = 1_000  # of samples evenly spread; Karras et al. 2018 take 10,000

MIN_IMAGES = 2
SCORES = {
    "ms_ssim": Score(
        better="none",
        unit="",
        summary="mean multi-scale structural similarity of two samples, from 0 to 1 for equal ones; good is what real "
        "images have",
        source="Odena et al. 2017, arXiv:1610.09585, over all classes; fewer scales in images below 176 pixels",
        group="diversity",
        version=2,  # the first paired images of a folder with those of other classes
    )
}


def compute(context: Context) -> dict[str, float]:
    """Mean over random pairs of different samples. Raises UserError for images of less than 3 pixels a side."""
    images = context.samples.some(2 * MAX_PAIRS).images
    images = images[np.random.default_rng(context.seed).permutation(len(images))]  # which may stand class by class
    half = len(images) // 2
    total = 0.0
    for start in range(0, half, CHUNK):
        stop = min(start + CHUNK, half)
        pairs = images[start:stop], images[half + start : half + stop]
        first, second = ((to_float(side, context.device) + 1) / 2 for side in pairs)
        total += float(similarity(first, second).sum())
    return {"ms_ssim": total / half}


def similarity(first: Tensor, second: Tensor) -> Tensor:
    """Of each pair (N,) of images (N, C, H, W) in [0, 1]. Negative correlation of a scale counts as none."""
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure  # takes seconds

    weights, window = scales(min(first.shape[2:]))
    return torch.as_tensor(
        multiscale_structural_similarity_index_measure(
            first,
            second,
            sigma=SIGMA * window / WINDOW,
            kernel_size=window,
            reduction="none",
            data_range=1.0,
            betas=weights,
        )
    )


def scales(side: int) -> tuple[tuple[float, ...], int]:
    """Weights of the scales that images of this shorter side have, and the side of the window."""
    if side < SMALLEST_WINDOW:
        raise UserError(
            f"ms_ssim needs images of at least {SMALLEST_WINDOW} pixels a side, got {side}; "
            f"take larger images, or leave ms_ssim out of metrics"
        )
    weights = WEIGHTS[: sum(side >= smallest for smallest in SMALLEST)]
    return tuple(weight / sum(weights) for weight in weights), min(WINDOW, side - 1 + side % 2)
