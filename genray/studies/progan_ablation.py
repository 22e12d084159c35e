"""The progressive GAN's parts one by one, as in table 1 of Karras et al. 2018, and its modes of stacked MNIST."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genray.data import datasets
from genray.evaluation.judge import draw, evaluating
from genray.images import to_float
from genray.metrics.ms_ssim import similarity
from genray.metrics.swd import level_distances, num_levels
from genray.nn.growth import Canvas
from genray.report.answer import Answer
from genray.studies._mnist import by_label, cost, require_mnist, runs_of, trainer_of
from genray.studies._pieces import packs_of, trained
from genray.studies._progan_answer import answer_of
from genray.studies._progan_rows import REAL, ROWS, STACKED, STACKED_BATCH_SIZE, WORK
from genray.studies._stacked import counted_samples, training_data
from genray.studies.base import Budget, Outcome, Part, Pieces
from genray.train.trainer import Trainer

QUESTION = "What does each part of the progressive GAN do for samples, one after the other, beside the paper's table?"

PARTIAL = True

NUM_SHOWN = 16


def parts(budget: Budget) -> Sequence[Part]:
    """Trainings, and training images in the place of samples; seeds by seeds."""
    require_mnist("progan_ablation")
    return [
        Part(f"{_short(label)}-{seeds[0]}", run, arguments, gpu=float(label != REAL))
        for seeds in packs_of(WORK[budget].seeds, WORK[budget].pack)
        for run, labels in ((scored, [*ROWS, REAL]), (stacked, list(STACKED)))
        for label in labels
        for arguments in [{"label": label, "seeds": seeds, "budget": budget}]
    ]


def _short(label: str) -> str:
    """`e-star-minibatch-discrimination` of `(e*) + minibatch discrimination`."""
    kept = label.replace("*", " star").replace("(", "").replace(")", "").replace("+", "")
    return "-".join(kept.lower().split())


def scored(*, label: str, seeds: Sequence[int], budget: Budget, saved: bytes | None) -> Pieces:
    """Trains a row's model on MNIST with each seed, and compares its samples with test images; or as many training
    images."""
    work, data, place = WORK[budget], datasets.load("mnist"), [*ROWS, REAL].index(label)
    if label == REAL:
        found = [_real(data.train.images, work.num_samples, seed) for seed in seeds]
    else:
        row = ROWS[label]
        shown = replace(data.training_data, train=data.train.some(work.num_images))
        given: dict[str, Any] = {"epochs": work.epochs, "batch_size": row.batch_size, "data": shown}
        trainers = [trainer_of({**row.model, "hidden": work.hidden}, seed=seed, **given) for seed in seeds]
        yield from trained(trainers, saved)
        found = [_scored(trainer, work.num_samples) for trainer in trainers]
    about = {"table": "parts", "label": label, "place": place}
    return {"runs": [about | {"seed": seed} | run for seed, run in zip(seeds, found, strict=True)]}


def _real(train: NDArray[np.uint8], num_samples: int, seed: int) -> Outcome:
    index = np.random.default_rng(seed).permutation(len(train))[:num_samples]
    return _scores(train[index], seed, torch.device("cpu"))


def _scored(trainer: Trainer, num_samples: int) -> Outcome:
    seed, device = trainer.experiment.seed, trainer.distributed.device
    with evaluating(trainer.model):
        samples = np.concatenate(list(draw(trainer.model.sample, num_samples, seed=seed, device=device)))
    return _scores(samples, seed, device) | cost(trainer)


def _scores(samples: NDArray[np.uint8], seed: int, device: torch.device) -> Outcome:
    """Distances x 1,000 at 32 and 16 pixels, as the canvas on which the networks draw has 32; and MS-SSIM of pairs."""
    data = datasets.load("mnist")
    canvas = Canvas(data.spec)
    real = data.test.some(len(samples)).images
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


def stacked(*, label: str, seeds: Sequence[int], budget: Budget, saved: bytes | None) -> Pieces:
    """Trains on stacked MNIST without growth, with each seed, and counts the modes of samples."""
    work, about = WORK[budget], {"table": "stacked", "label": label, "place": list(STACKED).index(label)}
    model = {**STACKED[label][0], "hidden": work.stacked_hidden}
    data = training_data(work.stacked_images)
    given: dict[str, Any] = {"epochs": work.stacked_epochs, "batch_size": STACKED_BATCH_SIZE, "data": data}
    trainers, runs = [trainer_of(model, seed=seed, **given) for seed in seeds], []
    yield from trained(trainers, saved)
    for trainer in trainers:
        found = counted_samples(trainer, work.stacked_samples) | cost(trainer)
        runs.append(about | {"seed": trainer.experiment.seed} | found)
    return {"runs": runs}


def answer(outcomes: Mapping[str, Outcome], budget: Budget) -> Answer:
    tables = ("parts", "stacked")
    parts, modes = (by_label([run for run in runs_of(outcomes) if run["table"] == table]) for table in tables)
    return answer_of(parts, modes, WORK[budget])
