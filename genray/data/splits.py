"""Fixed splits: which image goes where depends on the images' names alone, not on a machine, an order or a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genray.data.spec import Split

# N images


def draw(keys: Sequence[str], labels: NDArray[np.int64] | None, count: int) -> NDArray[np.bool_]:
    """Chooses `count` of N images: a mask (N,), with as nearly as can be the same fraction of each class.

    An image's rank within its class is that of the SHA-256 of its key; a file's name that is not UTF-8 counts by its
    bytes. Each class gives the whole part of its share, and those with the largest remainders give one more.
    """
    order = np.argsort([hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest() for key in keys])
    groups = np.zeros(len(keys), np.int64) if labels is None else labels
    classes, sizes = np.unique(groups, return_counts=True)
    shares = sizes * count / len(keys)
    quotas = shares.astype(np.int64)
    quotas[np.argsort(quotas - shares, kind="stable")[: count - quotas.sum()]] += 1
    chosen = np.zeros(len(keys), bool)
    for group, quota in zip(classes, quotas, strict=True):
        chosen[order[groups[order] == group][:quota]] = True
    return chosen


def split_off(split: Split, keys: Sequence[str], count: int) -> tuple[Split, Split]:
    """The rest, and `count` images drawn from the split; both in their old order."""
    mask = draw(keys, split.labels, count)
    return _where(split, ~mask), _where(split, mask)


def three_way(
    images: NDArray[np.uint8], labels: NDArray[np.int64] | None, keys: Sequence[str], *, validation: float, test: float
) -> tuple[Split, Split, Split]:
    """Train, validation and test; the two fractions are of all images."""
    whole = Split(images, labels)
    test_mask = draw(keys, labels, round(test * len(images)))
    rest = _where(whole, ~test_mask)
    rest_keys = [key for key, is_test in zip(keys, test_mask, strict=True) if not is_test]
    return *split_off(rest, rest_keys, round(validation * len(images))), _where(whole, test_mask)


def _where(split: Split, mask: NDArray[np.bool_]) -> Split:
    return Split(split.images[mask], None if split.labels is None else split.labels[mask])
