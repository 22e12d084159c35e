"""Square images of a given side, by Pillow's antialiased bicubic filter after cutting the longer side at its centre.

Pillow's filter widens with the reduction, as one without aliasing must (Parmar et al. 2022, "On Aliased Resizing").
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from genray.data.spec import Split
from genray.errors import UserError

# N images, C channels (1 or 3), H height, W width, S side of the square images


def fit(image: Image.Image, size: int) -> Image.Image:
    """One image, cropped to a square and resized."""
    if image.width != image.height:
        return ImageOps.fit(image, (size, size), method=Image.Resampling.BICUBIC)
    return image.resize((size, size), Image.Resampling.BICUBIC)


def resize(split: Split, size: int) -> Split:
    """Every image (C, H, W) of a split → (C, size, size)."""

    def one(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.stack([np.asarray(fit(Image.fromarray(plane), size)) for plane in image])

    images = empty(len(split), split.images.shape[1], size)
    with ThreadPoolExecutor(num_threads()) as threads:
        for place, image in zip(images, threads.map(one, split.images), strict=True):
            place[:] = image
    return Split(images, split.labels)


def empty(count: int, channels: int, size: int) -> NDArray[np.uint8]:
    """Room for images (N, C, S, S). Raises UserError where the machine has not so much memory."""
    if count * channels * size**2 > memory_bytes():
        raise UserError(
            f"image_size: {count} images of {size} x {size} must fit into memory, {memory_bytes() / 2**30:.0f} GiB, "
            f"got {count * channels * size**2 / 2**30:.0f} GiB; lower image_size"
        )
    return np.empty((count, channels, size, size), np.uint8)


def memory_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def num_threads() -> int:
    """CPU cores that this process may use; Pillow works without Python's lock."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
