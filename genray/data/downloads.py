"""Datasets that are downloaded once, by torchvision, into `data_root()`, and read from there without it."""

from __future__ import annotations

import os
import pickle
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from genray.data import idx
from genray.data.spec import Split
from genray.errors import UserError

CIFAR10 = "cifar-10-batches-py"
_CIFAR10_ARCHIVE = "cifar-10-python.tar.gz"
_CIFAR10_TRAIN = tuple(f"data_batch_{i}" for i in range(1, 6))
_IDX_FILES = tuple(f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))
_IDX_SHAPE, _IDX_CLASSES = (28, 28), 10
_IDX_LEAST = {"train": 5_008, "t10k": 8}  # images, of which 5,000 become the validation split
_TIMEOUT_S = 30.0  # without an answer


def data_root() -> Path:
    """The folder that GENRAY_DATA names, else ~/.cache/genray/data."""
    return Path(os.environ.get("GENRAY_DATA") or "~/.cache/genray/data").expanduser()


def is_present(folder: str) -> bool:
    """Whether all files of a dataset lie below `data_root()`."""
    return not _missing(folder)


def load(folder: str) -> tuple[Split, Split]:
    """The official training and test splits of the dataset in a folder below `data_root()`; downloaded if missing."""
    if missing := _missing(folder):
        _download(folder, missing)
    if folder == CIFAR10:
        return _read_cifar10(_CIFAR10_TRAIN), _read_cifar10(("test_batch",))
    return _read_idx(folder, "train"), _read_idx(folder, "t10k")


def _missing(folder: str) -> list[Path]:
    if folder == CIFAR10:
        places = [data_root() / CIFAR10 / name for name in (*_CIFAR10_TRAIN, "test_batch")]
        return [place for place in places if not place.is_file()]
    raw = data_root() / folder / "raw"
    return [raw / name for name in _IDX_FILES if not idx.on_disk(raw / name).is_file()]


def _read_idx(folder: str, part: str) -> Split:
    raw = data_root() / folder / "raw"
    images = idx.read(raw / f"{part}-images-idx3-ubyte", ndim=3)
    labels = idx.read(raw / f"{part}-labels-idx1-ubyte", ndim=1)
    if len(images) != len(labels):
        raise UserError(
            f"{raw}: {part} has {len(images)} images but {len(labels)} labels; delete the folder to download it again"
        )
    if images.shape[1:] != _IDX_SHAPE:
        got = " x ".join(map(str, images.shape[1:]))
        raise _foreign(raw / f"{part}-images-idx3-ubyte", f"its images must be 28 x 28, got {got}")
    if len(images) < _IDX_LEAST[part]:
        raise _foreign(
            raw / f"{part}-images-idx3-ubyte", f"it must hold {_IDX_LEAST[part]} images or more, got {len(images)}"
        )
    if labels.max() >= _IDX_CLASSES:
        raise _foreign(
            raw / f"{part}-labels-idx1-ubyte", f"its labels must be below {_IDX_CLASSES}, got {labels.max()}"
        )
    return Split(images[:, None], labels.astype(np.int64))


def _foreign(path: Path, reason: str) -> UserError:
    return UserError(f"{idx.on_disk(path)} is not the dataset's: {reason}; delete the folder to download it again")


def _read_cifar10(names: tuple[str, ...]) -> Split:
    """Batches in which a row is an image's three planes. They are pickles: only files with the known MD5 are opened."""
    from torchvision.datasets import CIFAR10 as Official  # noqa: N811  a constant here has its name
    from torchvision.datasets.utils import check_integrity

    known = dict(Official.train_list + Official.test_list)
    images, labels = [], []
    for path in (data_root() / CIFAR10 / name for name in names):
        if not check_integrity(path, known[path.name]):
            raise UserError(f"{path} is damaged: its MD5 is wrong; delete it, and it is downloaded again")
        batch = pickle.loads(path.read_bytes(), encoding="latin1")  # noqa: S301  its MD5 is known
        images.append(batch["data"].reshape(-1, 3, 32, 32))
        labels += batch["labels"]
    return Split(np.concatenate(images), np.array(labels, np.int64))


def _download(folder: str, missing: list[Path]) -> None:
    """Fetches into a folder beside, and moves whole files to their places: an interrupted download leaves nothing."""
    from torchvision import datasets  # takes 5 s

    root = data_root()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=".download-") as temporary, answering_within(_TIMEOUT_S):
            if folder == CIFAR10:
                if (root / _CIFAR10_ARCHIVE).is_file():  # put there by hand
                    shutil.copy(root / _CIFAR10_ARCHIVE, temporary)
                datasets.CIFAR10(temporary, download=True)
            else:
                getattr(datasets, folder)(temporary, download=True)
            for place in missing:
                place.parent.mkdir(parents=True, exist_ok=True)
                os.replace(Path(temporary) / place.relative_to(root), place)
    except (OSError, RuntimeError) as error:
        by_hand = (
            f"put {_CIFAR10_ARCHIVE} into {root}"
            if folder == CIFAR10
            else f"put {', '.join(f'{path.name}.gz' for path in missing)} into {missing[0].parent}"
        )
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"cannot download the dataset ({reason}); {by_hand}, or set GENRAY_DATA to where it is"
        ) from None


@contextmanager
def answering_within(seconds: float) -> Iterator[None]:
    """torchvision and torch.hub wait for ever for a server that does not answer."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
