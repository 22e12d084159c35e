"""Fixed splits: which image goes where depends on the images' names alone, not on a machine, an order or a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# N images


def draw(keys: Sequence[str], labels: NDArray[np.int64] | None, count: int) -> NDArray[np.bool_]:
    """Chooses `count` of N images: a mask (N,), as near as can be to the same fraction of each class.

    An image's place within its class is the SHA-256 of its key; each class gives the whole part of its share, and the
    classes with the largest remainders give one more.
    """
    order = np.argsort([hashlib.sha256(key.encode()).hexdigest() for key in keys])
    groups = np.zeros(len(keys), np.int64) if labels is None else labels
    classes, sizes = np.unique(groups, return_counts=True)
    shares = sizes * count / len(keys)
    quotas = shares.astype(np.int64)
    quotas[np.argsort(-(shares - quotas), kind="stable")[: count - quotas.sum()]] += 1
    chosen = np.zeros(len(keys), bool)
    for group, quota in zip(classes, quotas, strict=True):
        chosen[order[groups[order] == group][:quota]] = True
    return chosen
