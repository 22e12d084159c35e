"""Stacked digits: three images picked at random, as the red, green and blue plane of one. Srivastava et al. 2017.

The 1,000 combinations of digits are modes that can be counted, which no folder of photographs offers. Each split is
built from the same split of the digits, so that no test digit is seen in training.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from genray.data.spec import Dataset, Split
from genray.seeds import stream_seed

# N stacked images, H height, W width, K classes of a plane

PLANES = 3
SEED = 0  # of which digits stand together: the dataset is the same on every machine


def stacked(name: str, planes: Dataset, sizes: tuple[int, int, int]) -> Dataset:
    """A dataset of `sizes` images in train, validation and test, whose class is that of its planes: "507"."""
    splits = {"train": planes.train, "validation": planes.validation, "test": planes.test}
    num_classes = len(planes.class_names)
    train, validation, test = (
        stack(split, count, num_classes, seed=stream_seed(SEED, name, part))
        for (part, split), count in zip(splits.items(), sizes, strict=True)
    )
    return Dataset(name, train, validation, test, mode_names(num_classes), planes)


def stack(split: Split, count: int, num_classes: int, *, seed: int) -> Split:
    """`count` images (N, 3, H, W) of planes picked with replacement from gray ones, and their modes (N,)."""
    index = np.random.default_rng(seed).integers(0, len(split), (count, PLANES))
    return Split(split.images[index, 0], mode_of(np.asarray(split.labels)[index], num_classes))


def mode_of(digits: NDArray[np.int64], num_classes: int) -> NDArray[np.int64]:
    """The mode (N,) of planes that show the classes `digits` (N, 3): the number that they write, red plane first."""
    return np.asarray(digits @ num_classes ** np.arange(PLANES - 1, -1, -1))


def digits_of(modes: NDArray[np.int64], num_classes: int) -> NDArray[np.int64]:
    """The classes (N, 3) of the planes of each mode (N,)."""
    return np.stack([modes // num_classes**place % num_classes for place in range(PLANES - 1, -1, -1)], axis=1)


def mode_names(num_classes: int) -> tuple[str, ...]:
    """ "000" to "999" for ten classes a plane."""
    return tuple("".join(map(str, row)) for row in digits_of(np.arange(num_classes**PLANES), num_classes))
