"""Sliced Wasserstein distance between patches of real images and of samples, scale by scale. Karras et al. 2018.

Looks at pixels, not at the extractor's features. Patches of 7 x 7 are taken at each level of a Laplacian pyramid, down
to 16 pixels a side, and each channel is brought to mean 0 and deviation 1 over its set. Images that cannot be halved
without falling below 16 have one level, the images as they are: 8 x 8, and 28 x 28; 32 x 32 have two, 64 x 64 three.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genray.images import to_float
from genray.metrics.base import Context, Score
from genray.nn.pyramid import laplacian_pyramid

# N patches, C channels, H height, W width, D pixels of a patch in all channels, R projections

PATCH = 7  # pixels a side; the image's own side where that is less
PATCHES = 128  # of an image at each level, or all that there are: 4 in an image of 8 x 8
PROJECTIONS = 512
COARSEST = 16  # pixels of the shorter side
MAX_IMAGES = 1_000  # of each kind, evenly spread; the paper takes 16,384
_CHUNK = 32  # projections at a time

MIN_IMAGES = 1
SCORES = {
    "swd": Score(
        better="lower",
        unit="",
        summary="sliced Wasserstein distance of 7 x 7 patches, mean over levels of a Laplacian pyramid, x 1,000",
        source="Karras et al. 2018, arXiv:1710.10196, §5; up to 1,000 images, and images below 16 pixels in one level",
    )
}


def compute(context: Context) -> dict[str, float]:
    """Mean of the levels' distances, times 1,000."""
    count = min(len(context.split), len(context.samples), MAX_IMAGES)
    sets = [to_float(split.some(count).images, context.device) for split in (context.split, context.samples)]
    return {"swd": 1_000 * float(np.mean(level_distances(*sets, seed=context.seed)))}


def level_distances(real_images: Tensor, fake_images: Tensor, *, seed: int) -> list[float]:
    """The distance at each level, finest first, of as many real images (N, C, H, W) as fake ones. Places of patches and
    projections depend on the seed alone."""
    sets, random = (real_images, fake_images), np.random.default_rng(seed)
    distances = []
    for real, fake in zip(*[laplacian_pyramid(images, num_levels(images.shape[2:])) for images in sets], strict=True):
        places = _places(len(real), real.shape[2:], random)
        real_ND, fake_ND = (normalized(patches(level, places)) for level in (real, fake))
        distances.append(sliced_wasserstein(real_ND, fake_ND, directions(real_ND.shape[1], random)))
    return distances


def num_levels(size: torch.Size) -> int:
    """How often an image (H, W) can be halved before its shorter side is below 16 pixels, and one more."""
    return 1 + max(0, int(np.log2(min(size) / COARSEST)))


def patches(images: Tensor, places: NDArray[np.int64]) -> Tensor:
    """Patches (N, C, 49) with their upper left corners at places (N, 3): image, row, column."""
    side_h, side_w = (min(PATCH, side) for side in images.shape[2:])
    windows = images.unfold(2, side_h, 1).unfold(3, side_w, 1)
    image, row, column = torch.tensor(places, device=images.device).unbind(1)
    return windows[image, :, row, column].flatten(2)


def normalized(cut: Tensor) -> Tensor:
    """Descriptors (N, D), each channel with mean 0 and deviation 1 over the set; a channel of one value is at 0."""
    centred = cut - cut.mean((0, 2), keepdim=True)
    deviation = centred.square().mean((0, 2), keepdim=True).sqrt()
    return (centred / deviation.where(deviation > 1e-6, 1)).flatten(1)


def sliced_wasserstein(x_ND: Tensor, y_ND: Tensor, along: Tensor) -> float:
    """Mean over unit vectors (D, R) of the Wasserstein-1 distance of projections: that of sorted values in pairs."""
    total = 0.0
    for start in range(0, along.shape[1], _CHUNK):
        some = along[:, start : start + _CHUNK].to(x_ND)
        x, y = ((set_ND @ some).T.contiguous().sort(1).values for set_ND in (x_ND, y_ND))
        total += float((x - y).abs().mean(1).sum())
    return total / along.shape[1]


def directions(num_dimensions: int, random: np.random.Generator) -> Tensor:
    """Unit vectors (D, R), evenly distributed."""
    normal = random.normal(size=(num_dimensions, PROJECTIONS))
    return torch.tensor(normal / np.linalg.norm(normal, axis=0))


def _places(num_images: int, size: torch.Size, random: np.random.Generator) -> NDArray[np.int64]:
    """Different places (N, 3) in each image."""
    rows, columns = (side - min(PATCH, side) + 1 for side in size)
    each = min(PATCHES, rows * columns)
    index = random.random((num_images, rows * columns)).argsort(1)[:, :each].ravel()
    return np.stack([np.arange(num_images).repeat(each), index // columns, index % columns], axis=1)
