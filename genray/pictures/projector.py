"""Codes of images in TensorBoard's projector: each dot a picture of the image, coloured by its label.

tensorboardX has a function for these files (`add_embedding`), which adds to what an earlier call wrote.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from genray import files
from genray.data.spec import Split
from genray.images import as_png
from genray.models.base import GenerativeModel, HasEncoder
from genray.runs import Run
from genray.samplers import encode

# N images, C channels, H height, W width

NUM_CODES = 1_000
MAX_SPRITE = 8_192  # pixels along a side: what TensorBoard takes
FOLDER = "projector"


def write(run: Run, model: GenerativeModel, split: Split, device: torch.device | str = "cpu") -> None:
    """Codes of 1,000 images of a split, in the run's folder, where `tensorboard --logdir` finds them, in the place of
    those that are there; nothing for a model without an encoder."""
    if not isinstance(model, HasEncoder):
        return
    shown = split.some(NUM_CODES)
    images, labels = shown.images, shown.labels
    folder, settings = run.path / FOLDER, [f'tensor_name: "codes of {run.experiment.dataset}"']
    codes = encode(model, shown, device)
    files.write_text(folder / "codes.tsv", "".join("\t".join(f"{x:.6g}" for x in code) + "\n" for code in codes))
    settings.append(f'tensor_path: "{FOLDER}/codes.tsv"')
    if labels is not None:
        files.write_text(folder / "labels.tsv", "".join(f"{label}\n" for label in labels))
        settings.append(f'metadata_path: "{FOLDER}/labels.tsv"')
    if (picture := sprite(images)) is not None:
        files.write_bytes(folder / "images.png", as_png(picture))
        height, width = images.shape[2:]
        place = f'image_path: "{FOLDER}/images.png" single_image_dim: {width} single_image_dim: {height}'
        settings.append(f"sprite {{ {place} }}")
    files.write_text(run.path / "projector_config.pbtxt", f"embeddings {{ {' '.join(settings)} }}\n")


def sprite(images: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Images (N, C, H, W) row by row, without gaps, as many in a row as rows: (√N·H, √N·W, C). None where they are
    larger than TensorBoard takes."""
    n, channels, height, width = images.shape
    side = math.ceil(math.sqrt(n))
    if side * max(height, width) > MAX_SPRITE:
        return None
    whole = np.zeros((side * side, channels, height, width), np.uint8)
    whole[:n] = images
    rows = whole.reshape(side, side, channels, height, width).transpose(0, 3, 1, 4, 2)
    return rows.reshape(side * height, side * width, channels)
