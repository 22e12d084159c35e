"""Samples of a trained run in a file: a picture to look at, or an array to compute with."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from genray.errors import UserError, nearest
from genray.evaluation import judge
from genray.files import write_bytes
from genray.images import grid, save_png

if TYPE_CHECKING:
    from genray.models.base import GenerativeModel
    from genray.pictures.completions import Completions
    from genray.samplers import Sampler

# N images, k completions of each, C channels (1 or 3), H height, W width

FORMATS = (".png", ".npz")


def check_file(out: Path) -> None:
    """Refuses a name that says neither picture nor array, a folder, and a picture that a run keeps of itself."""
    if out.suffix not in FORMATS:
        raise UserError(f"--out must end in .png or .npz, got {str(out)!r}; for example --out samples.npz")
    if out.is_dir():
        raise UserError(f"{out} is a folder; name a file in it, for example --out {out / 'samples.npz'}")
    if out.suffix == ".png" and out.exists() and (out.parent / "experiment.yaml").exists():
        raise UserError(f"{out} is a picture of the run in {out.parent.absolute()}; give another file with --out")


def draw(
    run: Path | str,
    num: int,
    *,
    seed: int = 0,
    device: str = "cpu",
    sampled_from: str = "prior",
    label: int | None = None,
    best: bool = False,
) -> NDArray[np.uint8]:
    """`num` samples of a run, uint8 (N, C, H, W), with `label` all of one class, with `best` of its best checkpoint.
    Equal seeds give equal samples on the same kind of device."""
    from genray.runs import load

    if num < 1:
        raise UserError(f"the number of samples must be >= 1, got {num}; raise --num")
    if label is not None and sampled_from != "prior":
        raise UserError(f"--label needs --sampled-from prior, got {sampled_from}; leave out one of them")
    model = load(run, best=best, device=device)
    sampler = _sampler(run, model, sampled_from, device) if label is None else _of_label(run, model, label, device)
    return np.concatenate(list(judge.draw(sampler.draw, num, seed=seed, device=device)))


def _sampler(run: Path | str, model: GenerativeModel, name: str, device: str) -> Sampler:
    """Of a run's model. Only a mixture needs the dataset: it is fitted again, to the same codes with the same seed."""
    from genray.data import datasets
    from genray.runs import open_run
    from genray.samplers import NAMES, PRIOR, Sampler, make_sampler, samplers_of

    if name not in NAMES:
        raise UserError(f"--sampled-from: {name!r} is not a sampler{nearest(name, NAMES)}")
    experiment = open_run(run).experiment
    samplers_of([name], model, experiment.model.name)
    if name == PRIOR:
        return Sampler(name, model.sample)
    train = datasets.load(experiment.dataset, image_size=experiment.image_size).train
    return make_sampler(name, model, train, seed=experiment.seed, device=device)


def _of_label(run: Path | str, model: GenerativeModel, label: int, device: str) -> Sampler:
    """The prior of a run's model, given one label."""
    import torch

    from genray.samplers import PRIOR, Sampler

    if not model.takes_labels:
        raise UserError(f"--label needs a model that draws images of a given label, and {run} holds none; train a cvae")
    if not 0 <= label < model.spec.num_classes:
        raise UserError(f"--label must lie between 0 and {model.spec.num_classes - 1}, got {label}; give one of these")
    return Sampler(PRIOR, lambda n, noise: model.sample(n, noise, label=torch.full((n,), label, device=device)))


def complete(
    run: Path | str,
    files: Sequence[Path | str],
    num: int,
    *,
    seed: int = 0,
    device: str = "cpu",
    best: bool = False,
) -> Completions:
    """`num` completions of each image file, from the part that the run's model was trained to be given."""
    from genray.models.base import Completes
    from genray.nn.noise import Noise
    from genray.pictures import completions
    from genray.runs import load

    if num < 1:
        raise UserError(f"the number of completions must be >= 1, got {num}; raise --num")
    model = load(run, best=best, device=device)
    if not isinstance(model, Completes) or not model.completes:
        raise UserError(
            f"--complete needs a model that completes images, and {run} holds none; "
            f"train a cvae with model.condition=top, left or box"
        )
    images = completions.read([Path(file) for file in files], model.spec)
    return completions.complete(model, images, num, Noise(seed, "complete", device=device))


def save(images: NDArray[np.uint8], out: Path) -> None:
    """`images` (N, C, H, W) as a square grid in a PNG, or in an npz as `images` (N, H, W), or (N, H, W, C) in color."""
    _write(out, lambda: grid(images, columns=math.ceil(math.sqrt(len(images)))), images)


def save_completions(completions: Completions, out: Path) -> None:
    """A row an image in a PNG, as `Completions.picture` makes it; in an npz `images` (N, k, H, W), in color
    (N, k, H, W, C), and `masks`, bool (N, H, W), True where pixels were given.
    """
    _write(out, completions.picture, completions.drawn, masks=completions.masks[:, 0])


def _write(
    out: Path, picture: Callable[[], NDArray[np.uint8]], images: NDArray[np.uint8], **arrays: NDArray[np.bool_]
) -> None:
    """The picture, or `images` (..., C, H, W) with channels last, or without them in gray, and `arrays`."""
    check_file(out)
    try:
        if out.suffix == ".png":
            save_png(out, picture())
        else:
            buffer = io.BytesIO()
            channels_last = images[..., 0, :, :] if images.shape[-3] == 1 else np.moveaxis(images, -3, -1)
            np.savez_compressed(buffer, images=channels_last, **arrays)  # type: ignore[arg-type]  # NumPy's types take no names beside its own
            write_bytes(out, buffer.getvalue())
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror}; give another file with --out") from None
