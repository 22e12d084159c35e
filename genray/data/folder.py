"""A folder of a user's own images, of any size and mode, as a dataset."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from genray.data.resize import empty, fit, num_threads
from genray.data.spec import Dataset, Split
from genray.data.splits import split_off, three_way
from genray.errors import UserError

# N images, C channels (1 where every image is gray, else 3), S side of the square images

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pbm", ".pgm", ".ppm")
MIN_SPLIT = 8  # images; precision and recall look at 5 neighbours of each
_VALIDATION_NAMES = ("validation", "val", "valid")
_BROKEN = (OSError, SyntaxError, ValueError, IndexError, struct.error, zlib.error, Image.DecompressionBombError)


def load(name: str, image_size: int) -> Dataset:
    """The images below the folder of `folder:/path`, as squares of `image_size`.

    Where the folder holds exactly `train` and `test` (and perhaps `validation`, `val` or `valid`), these are the
    splits, and a missing validation split is 10 % of train. Otherwise 70 % are train, 10 % validation and 20 % test,
    stratified, chosen by the files' names. Classes are the first level of subfolders of a split; fewer than two are
    none. Transparent pixels become white; of an animation the first frame is taken. Hidden files are passed over.
    """
    root = Path(name.removeprefix("folder:")).expanduser()
    if not root.is_dir():
        raise UserError(f"{name}: {root} is not a folder; give one that holds images")
    parts = _official_splits(root)
    files = {part: list(_image_files(folder)) for part, folder in parts.items()}
    if not any(files.values()):
        raise UserError(f"{name}: no images under {root}; put files there that end in {' '.join(SUFFIXES)}")
    class_names = _class_names(parts, files)
    splits = _read(parts, files, class_names, image_size)
    named = Dataset(name, *_three(parts, files, splits), class_names)
    for part, split in (("train", named.train), ("validation", named.validation), ("test", named.test)):
        if len(split) < MIN_SPLIT:
            raise UserError(f"{name}: a split needs {MIN_SPLIT} images or more, {part} has {len(split)}; add images")
    return named


def _official_splits(root: Path) -> dict[str, Path]:
    """{"train": …, "validation": …, "test": …} for a folder that is laid out so, else {"": root}."""
    folders = {path.name.lower(): path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")}
    named = {"validation" if name in _VALIDATION_NAMES else name: path for name, path in folders.items()}
    if len(named) == len(folders) and {"train", "test"} <= named.keys() <= {"train", "validation", "test"}:
        return {part: named[part] for part in ("train", "validation", "test") if part in named}
    return {"": root}


def _image_files(folder: Path) -> Iterator[str]:
    """Paths below `folder`, with / between their parts, in the order of their characters."""
    seen = set()
    found = []
    for place, folders, names in os.walk(folder, followlinks=True):
        seen.add(os.path.realpath(place))  # a link can lead back up
        folders[:] = [f for f in folders if f[0] != "." and os.path.realpath(os.path.join(place, f)) not in seen]
        images = [n for n in names if n[0] != "." and n.lower().endswith(SUFFIXES)]
        found += [Path(place, image).relative_to(folder).as_posix() for image in images]
    yield from sorted(found)


def _class_names(parts: dict[str, Path], files: dict[str, list[str]]) -> tuple[str, ...]:
    """The first-level subfolders, () for fewer than two. A class must stand in the training split."""
    classes = {part: {file.partition("/")[0] for file in paths if "/" in file} for part, paths in files.items()}
    names = sorted(set().union(*classes.values()))
    if len(names) < 2:
        return ()
    for part, paths in files.items():
        if stray := next((file for file in paths if "/" not in file), None):
            raise UserError(f"{parts[part] / stray} lies beside class folders; move it into one of them")
    if "train" in classes and (unknown := next((n for n in names if n not in classes["train"]), None)):
        raise UserError(f"class {unknown!r} has no images under {parts['train']}; add some, or remove the class")
    return tuple(names)


def _read(
    parts: dict[str, Path], files: dict[str, list[str]], class_names: Sequence[str], image_size: int
) -> dict[str, Split]:
    paths = [parts[part] / file for part, names in files.items() for file in names]
    images = empty(len(paths), 3, image_size)
    with ThreadPoolExecutor(num_threads()) as threads:
        for place, image in zip(images, threads.map(lambda path: decode(path, image_size), paths), strict=True):
            place[:] = image
    if (images == images[:, :1]).all():
        images = images[:, :1]
    splits, start = {}, 0
    for part, names in files.items():
        labels = [class_names.index(file.partition("/")[0]) for file in names] if class_names else None
        part_images = np.ascontiguousarray(images[start : start + len(names)])
        splits[part] = Split(part_images, None if labels is None else np.array(labels, np.int64))
        start += len(names)
    return splits


def _three(parts: dict[str, Path], files: dict[str, list[str]], splits: dict[str, Split]) -> tuple[Split, Split, Split]:
    if "" in parts:
        return three_way(splits[""].images, splits[""].labels, files[""], validation=0.1, test=0.2)
    if "validation" in parts:
        return splits["train"], splits["validation"], splits["test"]
    train, validation = split_off(splits["train"], files["train"], round(0.1 * len(splits["train"])))
    return train, validation, splits["test"]


def decode(path: Path, size: int) -> NDArray[np.uint8]:
    """One image file as RGB, uint8 (3, size, size)."""
    if path.exists() and not path.is_file():  # the read of a pipe would wait for ever
        raise UserError(f"cannot read the image {path}: it is no regular file; remove it")
    try:
        with Image.open(path) as image:
            image.draft("RGB", (2 * size, 2 * size))  # a JPEG is decoded at a fraction of its size where that is enough
            square = fit(_to_rgb(ImageOps.exif_transpose(image)), size)
    except _BROKEN as error:
        reason = "it is no image" if isinstance(error, UnidentifiedImageError) else " ".join(str(error).split())
        raise UserError(f"cannot read the image {path}: {reason}; mend or remove it") from None
    return np.asarray(square).transpose(2, 0, 1)


def _to_rgb(image: Image.Image) -> Image.Image:
    """8 bits a channel, whatever the mode was, over white where it is transparent."""
    if image.mode == "F" or image.mode.startswith("I"):  # 16-bit gray, or floats, which Pillow would clip at 255
        values = np.asarray(image, np.float64)
        unit = values if image.mode == "F" and values.max() <= 1 else values / (255 if image.mode == "F" else 65535)
        image = Image.fromarray((unit.clip(0, 1) * 255).round().astype(np.uint8))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")
