"""Which part of an image is given, for models of x₁ → x₂ and of pairs (x₁, x₂), and what such parts ask of images."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from genray.data.spec import DataSpec
from genray.errors import UserError
from genray.nn.noise import Noise

# n images, C channels, H height, W width

SMALLEST_BOX, LARGEST_BOX = 0.3, 0.7  # of the image's height and width, as the hidden part
SMALLEST_SIDE = 2  # pixels: below it, a half or a box may be nothing, or all of the image


def top_half(n: int, spec: DataSpec, noise: Noise) -> Tensor:
    """Mask (n, 1, H, W), True in the upper ⌊H/2⌋ rows."""
    row = torch.arange(spec.height, device=noise.device)
    return (row < spec.height // 2)[None, None, :, None].expand(n, 1, -1, spec.width)


def left_half(n: int, spec: DataSpec, noise: Noise) -> Tensor:
    """Mask (n, 1, H, W), True in the left ⌊W/2⌋ columns."""
    column = torch.arange(spec.width, device=noise.device)
    return (column < spec.width // 2).expand(n, 1, spec.height, -1)


def outside_box(n: int, spec: DataSpec, noise: Noise) -> Tensor:
    """Mask (n, 1, H, W), True outside a box of random size and place, another one for each image."""
    draws = noise.uniform(n, 4)
    rows = _interval(spec.height, draws[:, 0], draws[:, 1])
    columns = _interval(spec.width, draws[:, 2], draws[:, 3])
    return ~(rows[:, None, :, None] & columns[:, None, None, :])


MASKS: dict[str, Callable[[int, DataSpec, Noise], Tensor]] = {
    "top": top_half,
    "left": left_half,
    "box": outside_box,
}


def require_labels(what: str, spec: DataSpec) -> None:
    """Refuses a view that is a label, of images without."""
    if spec.num_classes == 0:
        raise UserError(f"{what} needs a dataset with labels, and this one has none; take a part of the image")


def require_parts(what: str, spec: DataSpec) -> None:
    """Refuses a view that is a part, of images too small to have one."""
    if min(spec.height, spec.width) < SMALLEST_SIDE:
        raise UserError(
            f"{what} needs images of at least {SMALLEST_SIDE} x {SMALLEST_SIDE}, "
            f"got {spec.height} x {spec.width}; take larger images"
        )


def _interval(length: int, size: Tensor, place: Tensor) -> Tensor:
    """(n, length), True in an interval of random size that lies at a random place."""
    extent = (length * (SMALLEST_BOX + (LARGEST_BOX - SMALLEST_BOX) * size)).round()
    start = ((length - extent) * place).round()
    position = torch.arange(length, device=size.device)[None]
    return (position >= start[:, None]) & (position < (start + extent)[:, None])
