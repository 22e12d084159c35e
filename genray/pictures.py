"""The pictures of a model that a run keeps: samples, and reconstructions below their originals."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from genray.images import grid, paired_grid, to_float, to_uint8
from genray.models.base import GenerativeModel, Reconstructs
from genray.nn.noise import Noise

NUM_SHOWN = 100  # images in a picture

Picture = NDArray[np.uint8]  # (H, W, C)


def spread(images: NDArray[np.uint8], count: int = NUM_SHOWN) -> NDArray[np.uint8]:
    """`count` images (n, C, H, W) evenly spaced among all: a folder's lie class by class."""
    picked: NDArray[np.uint8] = images[np.linspace(0, len(images) - 1, min(count, len(images)), dtype=int)]
    return picked


@torch.no_grad()
def samples(model: GenerativeModel, device: torch.device | str) -> Picture:
    """The same draws of the latents at every call, so that pictures of one run show how an image changes."""
    return grid(to_uint8(model.sample(NUM_SHOWN, Noise("shown", device=device))))


@torch.no_grad()
def reconstructions(model: GenerativeModel, images: NDArray[np.uint8], device: torch.device | str) -> Picture | None:
    """Rows of originals (N, C, H, W), each over the row of what the model makes of them; None where it cannot."""
    if not isinstance(model, Reconstructs):
        return None
    return paired_grid(images, to_uint8(model.reconstruct(to_float(images, device))))
