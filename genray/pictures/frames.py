"""A run's samples over training time, as pictures so few and small that a page holds those of many runs.

frames/00005.webp   after epoch 5, of the same noise as all others
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from genray import files
from genray.pictures.catalogue import Picture
from genray.runs import Run

MOST = 12  # frames of a run, however long it trains
SIDE = 340  # pixels at most: what ten images of 32 x 32 side by side take
QUALITY = 60  # of WebP; 100 of scikit-learn's digits take 13 kB


def epochs_kept(epochs: int, evaluate_every: int) -> frozenset[int]:
    """The epochs whose samples are kept: all that are evaluated, or MOST of them evenly spread, both ends included.
    Known before the first one, so that a resumed run keeps the same."""
    num_evaluated = 1 + -(-epochs // evaluate_every)
    picked = np.linspace(0, num_evaluated - 1, min(MOST, num_evaluated)).round().astype(int)
    return frozenset(min(i * evaluate_every, epochs) for i in picked.tolist())


def keep(run: Run, picture: Picture, epoch: int) -> None:
    """Writes the samples (H, W, C) of an epoch, where that is one of those that are kept."""
    epochs, every = run.experiment.epochs, run.experiment.evaluate_every
    if epochs is not None and epoch not in epochs_kept(epochs, every):
        return
    image = Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture).convert("RGB")
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="WEBP", quality=QUALITY)
    files.write_bytes(run.frame_path(epoch), buffer.getvalue())
    if epochs is None:
        _thin_out(run, epoch, every)


def _thin_out(run: Run, newest: int, every: int) -> None:
    """Where the last epoch is not known before: the newest, and as many as fit of those 1, 2, 4 … evaluations apart."""
    stride = every
    while newest // stride + 2 > MOST:
        stride *= 2
    for epoch in run.frames:
        if epoch % stride and epoch != newest:
            run.frame_path(epoch).unlink()
