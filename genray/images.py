"""Images as a person looks at them: 8-bit values, one grid, a PNG."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from genray.files import write_bytes

# N images, C channels (1 or 3), H height, W width

GREY = 80  # between images: black would run digits on black ground together
SMALLEST_SIDE = 32  # pixels; smaller images are enlarged by whole factors, so that 8 x 8 digits can be seen


def to_uint8(images: Tensor) -> NDArray[np.uint8]:
    """Images (N, C, H, W) in [-1, 1] → uint8 (N, C, H, W), rounded; what lies outside is clipped."""
    scaled = (images.detach().float().clamp(-1, 1) + 1) * 127.5
    values: NDArray[np.uint8] = scaled.round().to(torch.uint8).cpu().numpy()
    return values


def to_float(images: NDArray[np.uint8], device: torch.device | str = "cpu") -> Tensor:
    """uint8 (N, C, H, W) → float32 in [-1, 1] on `device`: the inverse of `to_uint8`. Read-only arrays are copied."""
    return torch.tensor(images, device=device).float().div_(127.5).sub_(1)


def grid(images: NDArray[np.uint8], columns: int = 10) -> NDArray[np.uint8]:
    """uint8 (N, C, H, W) → one picture (H', W', C), row by row, two grey pixels apart; unused places are grey."""
    factor = -(-SMALLEST_SIDE // min(images.shape[2:]))
    images = images.repeat(factor, axis=2).repeat(factor, axis=3)
    n, channels, height, width = images.shape
    rows, gap = -(-n // columns), 2
    picture = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), GREY, np.uint8)
    for i, image in enumerate(images):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        picture[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    return picture


def paired_grid(first: NDArray[np.uint8], second: NDArray[np.uint8], columns: int = 10) -> NDArray[np.uint8]:
    """A grid in which each row of `first` (N, C, H, W) stands over the same row of `second`; whole rows only."""
    columns = min(columns, len(first))
    whole = len(first) // columns * columns
    rows = [images[:whole].reshape(-1, columns, *images.shape[1:]) for images in (first, second)]
    return grid(np.concatenate(rows, axis=1).reshape(-1, *first.shape[1:]), columns)


def save_png(path: Path, picture: NDArray[np.uint8]) -> None:
    """Writes a picture (H, W, C), C of 1 or 3."""
    write_bytes(path, as_png(picture))


def as_png(picture: NDArray[np.uint8]) -> bytes:
    """What a PNG file of a picture (H, W, C) holds, C of 1 or 3."""
    buffer = io.BytesIO()
    Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture).save(buffer, format="PNG")
    return buffer.getvalue()
