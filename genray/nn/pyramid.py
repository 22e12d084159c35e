"""The Laplacian pyramid: what an image holds at each scale. Burt & Adelson 1983."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

# N images, C channels, H height, W width

_BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def laplacian_pyramid(images: Tensor, num_levels: int) -> list[Tensor]:
    """Levels (N, C, H / 2^i, W / 2^i), rounded up, of images (N, C, H, W): what each scale adds to the next coarser
    one, which is the images smoothed and halved; the last level is that itself. Sides that are halved are 3 or more."""
    levels = []
    for _ in range(num_levels - 1):
        coarse = down(images)
        levels.append(images - up(coarse, images.shape[2:]))
        images = coarse
    return [*levels, images]


def collapse(levels: Sequence[Tensor]) -> Tensor:
    """The images of a pyramid."""
    *finer, images = levels
    for level in reversed(finer):
        images = level + up(images, level.shape[2:])
    return images


def down(images: Tensor) -> Tensor:
    """Every second pixel of the smoothed images."""
    return _smooth(images)[:, :, ::2, ::2]


def up(images: Tensor, size: Sequence[int]) -> Tensor:
    """The images spread out over `size`, zeros between, and smoothed."""
    spread = images.new_zeros(*images.shape[:2], *size)
    spread[:, :, ::2, ::2] = images
    return 4 * _smooth(spread)


def _smooth(images: Tensor) -> Tensor:
    """Binomial filter of 5 x 5; images are mirrored at their edges."""
    channels = images.shape[1]
    kernel = torch.tensor(_BINOMIAL, dtype=images.dtype, device=images.device)
    kernel = torch.outer(kernel, kernel).expand(channels, 1, 5, 5)
    return F.conv2d(F.pad(images, (2, 2, 2, 2), mode="reflect"), kernel, groups=channels)
