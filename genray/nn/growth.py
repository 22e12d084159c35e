"""How images grow: which level and how much of it at which step, and images at every level.

Level k has images of 4·2ᵏ × 4·2ᵏ pixels; the last level's square, the canvas, holds an image of the data.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from genray.data.spec import DataSpec
from genray.errors import UserError

# B images, C channels, H height, W width, S side of a square

SMALLEST = 4  # side of the first level


class Stage(NamedTuple):
    level: int
    alpha: Tensor | None  # 0-d, from 0 to 1 while the level is faded in; None: it is there


class Canvas:
    """The smallest square of 4·2ᵏ pixels a side that holds the images, which lie in its middle."""

    def __init__(self, spec: DataSpec) -> None:
        if min(spec.height, spec.width) < SMALLEST:
            raise UserError(
                f"growth begins at {SMALLEST} x {SMALLEST} pixels, got images of {spec.height} x {spec.width}; "
                f"take larger images (image_size) or another model"
            )
        self.num_levels = (max(spec.height, spec.width) - 1).bit_length() - 1  # 4 → 1, 8 → 2, 28 and 32 → 4
        self.side = SMALLEST << (self.num_levels - 1)
        self._height, self._width = spec.height, spec.width
        self._top, self._left = (self.side - spec.height) // 2, (self.side - spec.width) // 2

    def place(self, images: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, S, S): the pixels at the border are repeated outwards."""
        right, bottom = self.side - self._width - self._left, self.side - self._height - self._top
        return F.pad(images, (self._left, right, self._top, bottom), mode="replicate")

    def cut(self, images: Tensor) -> Tensor:
        """The way back, from images of any level."""
        while images.shape[-1] < self.side:
            images = double(images)
        return images[:, :, self._top : self._top + self._height, self._left : self._left + self._width]

    def shrink(self, images: Tensor, stage: Stage) -> Tensor:
        """Images on the canvas as a stage has them: while a level is faded in, so are their details."""
        images = F.avg_pool2d(images, 1 << (self.num_levels - 1 - stage.level))
        return images if stage.alpha is None else torch.lerp(double(halve(images)), images, stage.alpha)


def double(images: Tensor) -> Tensor:
    """(B, C, S, S) → (B, C, 2S, 2S), every pixel four times."""
    return F.interpolate(images, scale_factor=2.0)


def halve(images: Tensor) -> Tensor:
    """(B, C, S, S) → (B, C, S/2, S/2), means of four pixels."""
    return F.avg_pool2d(images, 2)


def level_and_alpha(spent: float, total: float, num_levels: int, share: float) -> tuple[int, float]:
    """At so many steps, or seconds, of all. The first `share` of the run is cut into equal parts: the first level, the
    second fading in, the second as it is, … the last fading in; the rest of the run is the last's. Karras et al. 2018,
    app. A.1, in parts of the run."""
    if num_levels == 1 or spent >= share * total:
        return num_levels - 1, 1.0
    position = 2 * (num_levels - 1) * spent / (share * total)
    part = int(position)  # even: as it is; odd: fading in
    return (part + 1) // 2, position - part if part % 2 else 1.0
