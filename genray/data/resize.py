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

# N images, C channels (1 or 3), H height, W width


def fit(image: Image.Image, size: int) -> Image.Image:
    """One image, cropped to a square and resized."""
    if image.width != image.height:
        return ImageOps.fit(image, (size, size), method=Image.Resampling.BICUBIC)
    return image.resize((size, size), Image.Resampling.BICUBIC)


def resize(split: Split, size: int) -> Split:
    """Every image (C, H, W) of a split → (C, size, size)."""

    def one(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.stack([np.asarray(fit(Image.fromarray(plane), size)) for plane in image])

    with ThreadPoolExecutor(num_threads()) as threads:
        return Split(np.stack(list(threads.map(one, split.images))), split.labels)


def num_threads() -> int:
    """CPU cores that this process may use; Pillow works without Python's lock."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
