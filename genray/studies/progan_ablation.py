"""The progressive GAN's parts one by one, as in table 1 of Karras et al. 2018, and its modes of stacked MNIST."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from genray.data import datasets
from genray.images import to_float
from genray.metrics.base import some_of
from genray.metrics.evaluate import draw, evaluating
from genray.metrics.ms_ssim import similarity
from genray.metrics.swd import level_distances, num_levels
from genray.nn.growth import Canvas
from genray.studies._mnist import by_label, require_mnist, trainer_of
from genray.studies._pieces import trained
from genray.studies._progan_answer import answer_of
from genray.studies._progan_rows import REAL, ROWS, STACKED, STACKED_BATCH_SIZE, WORK
from genray.studies._stacked import counted_samples, training_data
from genray.studies.base import Answer, Budget, Outcome, Part, Pieces

QUESTION = "What does each part of the progressive GAN do for samples, one after the other, beside the paper's table?"

PARTIAL = True

NUM_SHOWN = 16


def parts(budget: Budget) -> Sequence[Part]:
    """A training a part, and training images in the place of samples; seed by seed."""
    require_mnist("progan_ablation")
    return [
        Part(f"{_short(label)}-{seed}", run, {"label": label, "seed": seed, "budget": budget}, gpu=float(label != REAL))
        for seed in range(WORK[budget].seeds)
        for run, labels in ((scored, [*ROWS, REAL]), (stacked, list(STACKED)))
        for label in labels
    ]


def _short(label: str) -> str:
    """`e-star-minibatch-discrimination` of `(e*) + minibatch discrimination`."""
    kept = label.replace("*", " star").replace("(", "").replace(")", "").replace("+", "")
    return "-".join(kept.lower().split())


def scored(*, label: str, seed: int, budget: Budget, saved: bytes | None) -> Pieces:
    """Trains a row's model on MNIST, and compares its samples with test images; or as many training images."""
    work, data, place = WORK[budget], datasets.load("mnist"), [*ROWS, REAL].index(label)
    found: Outcome = {"table": "parts", "label": label, "place": place, "seed": seed}
    if label == REAL:
        index = np.random.default_rng(seed).permutation(len(data.train))[: work.num_samples]
        return found | _scores(data.train.images[index], seed, torch.device("cpu"))
    row = ROWS[label]
    shown = replace(data.training_data, train=some_of(data.train, work.num_images))
    model = {**row.model, "hidden": work.hidden}
    trainer = trainer_of(model, seed=seed, epochs=work.epochs, batch_size=row.batch_size, data=shown)
    yield from trained(trainer, saved)
    device = trainer.distributed.device
    with evaluating(trainer.model):
        samples = np.concatenate(list(draw(trainer.model.sample, work.num_samples, seed=seed, device=device)))
    return found | _scores(samples, seed, device) | _cost(trainer.train_seconds, device)


def _scores(samples: NDArray[np.uint8], seed: int, device: torch.device) -> Outcome:
    """Distances x 1,000 at 32 and 16 pixels, as the canvas on which the networks draw has 32; and MS-SSIM of pairs."""
    data = datasets.load("mnist")
    canvas = Canvas(data.spec)
    real = some_of(data.test, len(samples)).images
    sets = [canvas.place(to_float(images, device)) for images in (real, samples)]
    distances = level_distances(*sets, seed=seed)
    sides = [sets[0].shape[2] >> level for level in range(num_levels(sets[0].shape[2:]))]
    half = len(samples) // 2
    first, second = ((to_float(images, device) + 1) / 2 for images in (samples[:half], samples[half : 2 * half]))
    return {
        "swd": {str(side): 1_000 * distance for side, distance in zip(sides, distances, strict=True)},
        "ms_ssim": float(similarity(first, second).mean()),
        "samples": samples[:NUM_SHOWN, 0].tolist(),
    }


def stacked(*, label: str, seed: int, budget: Budget, saved: bytes | None) -> Pieces:
    """Trains on stacked MNIST without growth, and counts the modes of samples."""
    work, place = WORK[budget], list(STACKED).index(label)
    model = {**STACKED[label][0], "hidden": work.stacked_hidden}
    given = {"seed": seed, "epochs": work.stacked_epochs, "batch_size": STACKED_BATCH_SIZE}
    trainer = trainer_of(model, data=training_data(work.stacked_images), **given)
    yield from trained(trainer, saved)
    device = trainer.distributed.device
    found = counted_samples(trainer.model, work.stacked_samples, seed=seed, device=device)
    about = {"table": "stacked", "label": label, "place": place, "seed": seed}
    return about | found | _cost(trainer.train_seconds, device)


def _cost(train_seconds: float, device: torch.device) -> Outcome:
    return {"train_seconds": round(train_seconds, 1), "device": device.type}


def answer(outcomes: Mapping[str, Outcome], budget: Budget) -> Answer:
    tables = ("parts", "stacked")
    parts, modes = (by_label([run for run in outcomes.values() if run["table"] == table]) for table in tables)
    return answer_of(parts, modes, WORK[budget])
