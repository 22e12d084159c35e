"""Squared Euclidean distances between many features, a block of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from genray.dtypes import widest
from genray.extractors.base import FeatureSet

# N and M images, B rows of a block, D feature dimensions

_BLOCK = 250  # rows of a distance matrix held at a time; 1,000 were a third slower, out of the cache


def squared_blocks(x_ND: Tensor, y_MD: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """|x|² + |y|² - 2xy, (B, M), of some rows of x to all of y; the next block overwrites it.

    Roots keep the order, and torch.cdist takes four times as long for them and for memory of its own.
    """
    block = x_ND.new_empty(min(_BLOCK, len(x_ND)), len(y_MD))
    x_norms, y_norms = x_ND.square().sum(1), y_MD.square().sum(1)
    for start in range(0, len(x_ND), _BLOCK):
        rows = slice(start, min(start + _BLOCK, len(x_ND)))
        squared = block[: rows.stop - start]
        torch.addmm(y_norms, x_ND[rows], y_MD.T, alpha=-2, out=squared)
        yield rows, squared.add_(x_norms[rows, None])


def on_device(images: FeatureSet, device: torch.device) -> Tensor:
    """Features (N, D) in the precision that distances need: float64, where the device has it."""
    return torch.tensor(images.features, dtype=widest(device), device=device)
