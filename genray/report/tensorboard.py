"""The final table and a wall of samples, where `tensorboard --logdir` finds them."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from genray import files
from genray.report.collect import Collection
from genray.report.gallery import typical
from genray.report.pictures import opened
from genray.report.tables import markdown

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

SUFFIX = ".comparison"  # of our own event files, which a later comparison replaces
SIDE = 320  # pixels of one picture on the wall
LINE = 20  # pixels of a line of the caption above it
COLUMNS = 8


def events(results: Mapping[str, Mapping[str, Any]], collections: Mapping[str, Collection]) -> tuple[str, bytes]:
    """One event file of comparisons by name: what it is called, and what it holds."""
    from tensorboardX import SummaryWriter  # takes two seconds

    with tempfile.TemporaryDirectory() as folder:
        with SummaryWriter(folder, filename_suffix=SUFFIX) as writer:
            for name, comparison in results.items():
                tag = f"comparison/{name}" if len(results) > 1 else "comparison"
                writer.add_text(tag, markdown(comparison))
                if (picture := wall(comparison, collections[name])) is not None:
                    writer.add_image(f"{tag}/samples", picture, dataformats="HWC")
        [new] = Path(folder).iterdir()
        return new.name, new.read_bytes()


def write(out: Path, name: str, content: bytes) -> None:
    """It takes the place of those that an earlier comparison wrote, and of no other."""
    files.write_bytes(out / name, content)
    for old in out.glob(f"events.out.tfevents.*{SUFFIX}"):
        if old.name != name:
            old.unlink()


def wall(comparison: Mapping[str, Any], collection: Collection) -> NDArray[np.uint8] | None:
    """Real images and every row's samples, named, uint8 (H, W, 3); None where there are none."""
    groups = {group.label: group for group in collection.groups}
    chosen = {row["label"]: typical(groups[row["label"]], comparison["primary"]) for row in comparison["rows"]}
    real = next((path for e in collection.entries if (path := e.run.picture_path("real")).is_file()), None)
    pictures = ([("real images", real)] if real else []) + [
        (label, path) for label, entry in chosen.items() if (path := entry.samples_path).is_file()
    ]
    return tiled(pictures) if pictures else None


def tiled(pictures: Sequence[tuple[str, Path]]) -> NDArray[np.uint8]:
    """Pictures below their names, COLUMNS side by side, uint8 (H, W, 3)."""
    font = ImageFont.load_default(size=16)
    captions = [_wrapped(label, font) for label, _ in pictures]
    above = LINE * max(map(len, captions)) + 8
    num_lines = math.ceil(len(pictures) / COLUMNS)
    canvas = Image.new("RGB", (SIDE * min(len(pictures), COLUMNS), num_lines * (SIDE + above)), "white")
    draw = ImageDraw.Draw(canvas)
    for i, (caption, (_, path)) in enumerate(zip(captions, pictures, strict=True)):
        tile = opened(path).convert("RGB")
        tile.thumbnail((SIDE - 8, SIDE - 8))
        left, top = i % COLUMNS * SIDE + 4, i // COLUMNS * (SIDE + above)
        for j, line in enumerate(caption):
            draw.text((left, top + 4 + j * LINE), line, fill="black", font=font)
        canvas.paste(tile, (left, top + above))
    return np.asarray(canvas)


def _wrapped(text: str, font: Font) -> list[str]:
    """In lines no wider than a picture, broken at spaces; a word that is wider is broken anywhere."""
    lines = [""]
    for word in re.findall(r"\s*\S+", text):
        if font.getlength(lines[-1] + word) <= SIDE - 8:
            lines[-1] += word
            continue
        lines += [""] if lines[-1] else []
        for letter in word.lstrip():
            if font.getlength(lines[-1] + letter) > SIDE - 8:
                lines.append("")
            lines[-1] += letter
    return lines
