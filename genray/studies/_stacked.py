"""What studies that count modes of stacked MNIST share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import cast

import numpy as np
from numpy.typing import NDArray

from genray.data import datasets
from genray.data.spec import Dataset, TrainingData
from genray.data.stacked import stack
from genray.evaluation.judge import draw, evaluating
from genray.extractors.trained import extractor_for
from genray.metrics.base import CHUNK
from genray.metrics.modes import covered, kl_nats, shares
from genray.studies.base import Outcome
from genray.train.trainer import Trainer

# N images, K modes

NUM_MODES = 1_000
NUM_SHOWN = 12


@lru_cache(maxsize=1)
def stacked_mnist() -> Dataset:
    """Once a process: it takes seconds to stack."""
    return datasets.load("stacked_mnist")


def _planes() -> Dataset:
    return cast("Dataset", stacked_mnist().planes)


def training_data(num_images: int) -> TrainingData:
    """With that many images in the training split."""
    data = stacked_mnist().training_data
    return replace(data, train=data.train.some(num_images))


def counted(images: NDArray[np.uint8]) -> Outcome:
    """Modes covered by images (N, 3, H, W), and KL(p_images ‖ p) [nats] from p, the share of each mode in training
    images: the product of the digits' shares, as planes are picked independently."""
    counts, extractor = np.zeros(NUM_MODES, np.int64), extractor_for(stacked_mnist().training_data)
    for start in range(0, len(images), CHUNK):
        seen = extractor.features(images[start : start + CHUNK]).probabilities.argmax(1)
        counts += np.bincount(seen, minlength=NUM_MODES)
    shown = [image.tolist() for image in images[:NUM_SHOWN]]
    return {"modes": covered(counts), "kl_nats": kl_nats(shares(counts), true_shares()), "samples": shown}


def true_shares() -> NDArray[np.float64]:
    """p (K,) of the modes in training images."""
    digits = shares(np.bincount(np.asarray(_planes().train.labels)))
    return np.asarray(np.einsum("i,j,k->ijk", digits, digits, digits).ravel())


def counted_samples(trainer: Trainer, count: int) -> Outcome:
    """Of what was trained, drawn by its seed."""
    seed, device = trainer.experiment.seed, trainer.distributed.device
    with evaluating(trainer.model):
        images = np.concatenate(list(draw(trainer.model.sample, count, seed=seed, device=device)))
    return counted(images)  # out there, as the extractor may have to be trained first, with gradients


def counted_real(count: int, *, seed: int) -> Outcome:
    """Of test digits, stacked anew: what samples of a perfect model would score."""
    planes = _planes()
    return counted(stack(planes.test, count, len(planes.class_names), seed=seed).images)


def paired(after: Sequence[Outcome], before: Sequence[Outcome], value: Callable[[Outcome], float]) -> list[float]:
    """How much more the runs `after` have than those `before` with the same seed."""
    of_seed = {run["seed"]: value(run) for run in before}
    return [value(run) - of_seed[run["seed"]] for run in after if run["seed"] in of_seed]
