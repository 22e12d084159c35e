"""Samples of a trained run in a file: a picture to look at, or an array to compute with."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from genray.errors import UserError, nearest
from genray.files import write_bytes
from genray.images import grid, save_png

if TYPE_CHECKING:
    from genray.samplers import Sampler

# N images, C channels (1 or 3), H height, W width

FORMATS = (".png", ".npz")


def check_file(out: Path) -> None:
    """Refuses a name that says neither picture nor array, and a folder."""
    if out.suffix not in FORMATS:
        raise UserError(f"--out must end in .png or .npz, got {str(out)!r}; for example --out samples.npz")
    if out.is_dir():
        raise UserError(f"{out} is a folder; name a file in it, for example --out {out / 'samples.npz'}")


def draw(
    run: Path | str, num: int, *, seed: int = 0, device: str = "cpu", sampled_from: str = "prior"
) -> NDArray[np.uint8]:
    """`num` samples of a run, uint8 (N, C, H, W). Equal seeds give equal samples on the same kind of device."""
    from genray.metrics import evaluate

    if num < 1:
        raise UserError(f"the number of samples must be >= 1, got {num}")
    sampler = _sampler(run, sampled_from, device)
    return np.concatenate(list(evaluate.draw(sampler.draw, num, seed=seed, device=device)))


def _sampler(run: Path | str, name: str, device: str) -> Sampler:
    """Of a trained run. Only a mixture needs the dataset: it is fitted again, to the same codes with the same seed."""
    from genray.data import datasets
    from genray.runs import load, open_run
    from genray.samplers import NAMES, PRIOR, Sampler, make_sampler, samplers_of

    if name not in NAMES:
        raise UserError(f"--sampled-from: {name!r} is not a sampler{nearest(name, NAMES)}")
    model, experiment = load(run, device=device), open_run(run).experiment
    samplers_of([name], model, experiment.model.name)
    if name == PRIOR:
        return Sampler(name, model.sample)
    train = datasets.load(experiment.dataset, image_size=experiment.image_size).train
    return make_sampler(name, model, train, seed=experiment.seed, device=device)


def save(images: NDArray[np.uint8], out: Path) -> None:
    """`images` (N, C, H, W) as a square grid in a PNG, or in an npz as `images` (N, H, W), or (N, H, W, C) in color."""
    check_file(out)
    try:
        if out.suffix == ".png":
            save_png(out, grid(images, columns=math.ceil(math.sqrt(len(images)))))
        else:
            buffer = io.BytesIO()
            np.savez_compressed(buffer, images=images[:, 0] if images.shape[1] == 1 else images.transpose(0, 2, 3, 1))
            write_bytes(out, buffer.getvalue())
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror}; give another file with --out") from None
