"""What the rest of genray knows of a dataset: its shape, and its images as uint8 arrays."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

# N images, C channels, H height, W width

Value = TypeVar("Value", bound=np.generic)


def spread(rows: NDArray[Value], count: int) -> NDArray[Value]:
    """At most `count` rows of an array (N, …), evenly spread over it."""
    picked: NDArray[Value] = rows[np.linspace(0, len(rows) - 1, min(count, len(rows)), dtype=int)]
    return picked


@dataclass(frozen=True)
class DataSpec:
    """Shape of one image, and the number of classes (0 where there are no labels)."""

    channels: int
    height: int
    width: int
    num_classes: int

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.channels, self.height, self.width

    @property
    def num_pixels(self) -> int:
        """Values in one image, channels included."""
        return self.channels * self.height * self.width


@dataclass(frozen=True)
class Split:
    """Images uint8 (N, C, H, W) and labels int64 (N,), or None where the dataset has none."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def some(self, count: int) -> Split:
        """At most `count` of the images, evenly spread: a folder's lie class by class."""
        return Split(spread(self.images, count), None if self.labels is None else spread(self.labels, count))


@dataclass(frozen=True)
class Dataset:
    """Three disjoint splits. Only the evaluation of finalists reads `test`; training is given `TrainingData`."""

    name: str
    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...] = ()
    planes: Dataset | None = None  # of what each channel is an image by itself, where channels are stacked

    @property
    def spec(self) -> DataSpec:
        channels, height, width = self.train.images.shape[1:]
        return DataSpec(channels, height, width, len(self.class_names))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of every image and label in order, shortened: two datasets that differ anywhere differ here."""
        digest = hashlib.sha256(repr((self.name, self.spec)).encode())
        for split in (self.train, self.validation, self.test):
            digest.update(np.ascontiguousarray(split.images).data)
            if split.labels is not None:
                digest.update(np.ascontiguousarray(split.labels).data)
        return digest.hexdigest()[:16]

    @property
    def training_data(self) -> TrainingData:
        planes = None if self.planes is None else self.planes.training_data
        return TrainingData(self.name, self.spec, self.train, self.validation, planes)


@dataclass(frozen=True)
class TrainingData:
    """A dataset without its test split: all that a training run can see."""

    name: str
    spec: DataSpec
    train: Split
    validation: Split
    planes: TrainingData | None = None
