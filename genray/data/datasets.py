"""The datasets by name. `load("digits")` needs no download; `load("folder:/path")` reads a user's own images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genray.data import downloads, folder
from genray.data.resize import resize
from genray.data.spec import Dataset
from genray.data.splits import split_off, three_way
from genray.data.stacked import mode_names, stacked
from genray.errors import UserError, nearest


@dataclass(frozen=True)
class Description:
    """What can be said of a dataset without reading it."""

    name: str
    summary: str
    shape: tuple[int, int, int] | None = None  # (C, H, W); None: as the user's images are
    class_names: tuple[str, ...] = ()
    sizes: tuple[int, int, int] | None = None  # of train, validation and test
    download: str = ""  # how much is fetched the first time; empty: nothing
    folder: str = ""  # below `data_root()`
    planes: str = ""  # the dataset of which three images are one of this

    @property
    def is_present(self) -> bool:
        """Whether `load` needs no network."""
        return not self.folder or downloads.is_present(self.folder)


_DIGITS = tuple("0123456789")
_CLOTHES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
_HIRAGANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
_THINGS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_MODES = mode_names(len(_DIGITS))
_GRAY, _OFFICIAL, _NUM_VALIDATION = (1, 28, 28), (55_000, 5_000, 10_000), 5_000

DESCRIPTIONS = (
    Description("digits", "handwritten digits that come with scikit-learn", (1, 8, 8), _DIGITS, (1168, 270, 359)),
    Description("mnist", "handwritten digits", _GRAY, _DIGITS, _OFFICIAL, "11 MB", "MNIST"),
    Description("fashion_mnist", "articles of clothing", _GRAY, _CLOTHES, _OFFICIAL, "29 MB", "FashionMNIST"),
    Description("kmnist", "cursive Japanese characters", _GRAY, _HIRAGANA, _OFFICIAL, "20 MB", "KMNIST"),
    Description(
        "cifar10", "photographs of ten kinds of things", (3, 32, 32), _THINGS, (45_000, 5_000, 10_000), "170 MB",
        downloads.CIFAR10,
    ),
    Description(
        "stacked_digits", "three digits of scikit-learn's, as the planes of one image: 1,000 modes", (3, 8, 8), _MODES,
        (8_000, 2_000, 2_000), planes="digits",
    ),
    Description(
        "stacked_mnist", "three digits of MNIST's, as the planes of one image: 1,000 modes", (3, 28, 28), _MODES,
        (128_000, 10_000, 26_000), "11 MB", "MNIST", planes="mnist",
    ),
    Description("folder:/path", "your own images, classes from subfolders; 32 x 32 unless image_size says otherwise"),
)  # fmt: skip


def names() -> list[str]:
    """The names that `load` takes, besides `folder:/path`."""
    return [description.name for description in DESCRIPTIONS if description.shape]


def describe() -> tuple[Description, ...]:
    """What `genray datasets` lists; reads no data."""
    return DESCRIPTIONS


def load(name: str, *, image_size: int | None = None) -> Dataset:
    """A dataset with its three fixed splits, the same on every machine.

    Official test splits are kept; validation is 5,000 images of the official training split, stratified. `image_size`
    makes the images square with that side, by `genray.data.resize`; None leaves them as they are, but for folders,
    which get 32. Raises UserError.
    """
    if name.startswith("folder:"):
        return folder.load(name, image_size or 32)
    if name not in names():
        raise UserError(f"dataset {name!r} is not known{nearest(name, [d.name for d in DESCRIPTIONS])}")
    description = next(description for description in DESCRIPTIONS if description.name == name)
    if description.planes and description.sizes:
        return stacked(name, load(description.planes, image_size=image_size), description.sizes)
    dataset = _official(description) if description.folder else _digits()
    if image_size is None or dataset.spec.shape[1:] == (image_size, image_size):
        return dataset
    train, validation, test = (resize(split, image_size) for split in (dataset.train, dataset.validation, dataset.test))
    return Dataset(name, train, validation, test, dataset.class_names)


def _digits() -> Dataset:
    """1,797 images with values 0 to 16, of which 20 % are the test split and 15 % validation."""
    from sklearn.datasets import load_digits  # takes 2 s, for which no other dataset should wait

    values, labels = load_digits(return_X_y=True)
    images = np.round(values * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    keys = [str(i) for i in range(len(images))]
    return Dataset("digits", *three_way(images, labels.astype(np.int64), keys, validation=0.15, test=0.2), _DIGITS)


def _official(description: Description) -> Dataset:
    train, test = downloads.load(description.folder)
    keys = [str(i) for i in range(len(train))]
    train, validation = split_off(train, keys, _NUM_VALIDATION)
    return Dataset(description.name, train, validation, test, description.class_names)
