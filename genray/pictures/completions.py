"""Images of which a part is given, and several ways in which a model goes on from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from genray.data.folder import decode
from genray.data.spec import DataSpec
from genray.images import GREY, grid, to_float, to_uint8
from genray.models.base import Completes
from genray.nn.noise import Noise

# N images, k completions of each, C channels (1 or 3), H height, W width

NUM_COMPLETIONS = 8  # of each image


@dataclass(frozen=True)
class Completions:
    images: NDArray[np.uint8]  # (N, C, H, W)
    masks: NDArray[np.bool_]  # (N, 1, H, W), True where pixels were given
    drawn: NDArray[np.uint8]  # (N, k, C, H, W)

    def picture(self) -> NDArray[np.uint8]:
        """A row an image: as it is, what is given of it, k completions. (H', W', C)."""
        given = np.where(self.masks, self.images, np.uint8(GREY))
        rows = np.concatenate([self.images[:, None], given[:, None], self.drawn], axis=1)
        return grid(rows.reshape(-1, *self.images.shape[1:]), columns=rows.shape[1])


def complete(model: Completes, images: NDArray[np.uint8], k: int, noise: Noise) -> Completions:
    """k completions of each image (N, C, H, W), all of one image from the same part of it."""
    x = to_float(images, noise.device)
    with torch.no_grad():
        masks = model.masks(len(x), noise)
        drawn = [to_uint8(model.complete(x, masks, noise)) for _ in range(k)]
    return Completions(images, masks.cpu().numpy(), np.stack(drawn, axis=1))


def read(files: Sequence[Path], spec: DataSpec) -> NDArray[np.uint8]:
    """Image files as a dataset's folder is read, uint8 (N, C, H, W) of `spec`: cut to squares, resized, and gray where
    the model's images are. Raises UserError for a file that cannot be read."""
    images = [decode(file, spec.height) for file in files]
    return np.stack([_gray(image) if spec.channels == 1 else image for image in images])


def _gray(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGB (3, H, W) → luminance (1, H, W)."""
    return np.asarray(Image.fromarray(image.transpose(1, 2, 0)).convert("L"))[None]
