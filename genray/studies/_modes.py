"""How many modes of a known mixture a GAN finds, counted as Srivastava et al. 2017 (VEEGAN), §4.1, do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from genray.config import Experiment
from genray.models.base import GenerativeModel, build
from genray.nn.noise import Noise
from genray.studies._densities import Draws, FloatArray, Mixture, grid, ring, scaled, spec_of
from genray.studies.base import Outcome
from genray.train.distributed import Distributed
from genray.train.trainer import Trainer

# N samples, D dimensions, K modes

# VEEGAN's ring of radius 1 and grid from -4 to 4, brought into the [-1, 1] of genray's models, σ with them
TARGETS = {"ring": scaled(ring(), 0.8), "grid": scaled(grid(), 0.2)}
NUM_SAMPLES = 2500  # as VEEGAN
NEAR = 3.0  # standard deviations
NUM_SHOWN = 500  # samples in a figure
NUM_LOOKS = 10  # at the modes found so far


class Count(NamedTuple):
    modes: int  # that have a sample near them
    high_quality: float  # share of samples that are near a mode


def count_modes(samples_ND: FloatArray, mixture: Mixture) -> Count:
    """Near is within 3σ of the closest mode."""
    distances = np.linalg.norm(samples_ND[:, None] - np.array(mixture.means), axis=2)  # (N, K)
    closest = distances.argmin(1)
    near = distances.min(1) <= NEAR * np.array(mixture.sigmas)[closest]
    return Count(len(set(closest[near].tolist())), float(near.mean()))


def search_for_modes(target: str, model: Mapping[str, Any], *, seed: int, steps: int, batch_size: int) -> Outcome:
    """Trains genray's `gan` on fresh draws of a target with its own rates, and counts modes on the way."""
    mixture = TARGETS[target]
    experiment = Experiment.parse({"model": {"name": "gan", **model}, "seed": seed, "epochs": NUM_LOOKS})
    draws = Draws(mixture, seed=seed, batch_size=batch_size, steps_per_epoch=steps // NUM_LOOKS)
    trainer = Trainer(experiment, build(experiment.model, spec_of(mixture), seed), draws, Distributed.single())
    history = []
    for _ in range(NUM_LOOKS):
        trainer.train_epoch()
        samples = draw_samples(trainer.ema.evaluated(), NUM_SAMPLES, seed)
        history.append([trainer.step, *count_modes(samples, mixture)])
    _, modes, high_quality = history[-1]
    return {"modes": modes, "high_quality": high_quality, "history": history, "samples": _shown(samples)}


def modes_of_noise(target: str, seed: int) -> Outcome:
    """What draws from all of [-1, 1]² find, which know nothing of the target."""
    samples_ND = 2 * Noise(seed, "uniform noise").uniform(NUM_SAMPLES, 2).double().numpy() - 1
    return {**count_modes(samples_ND, TARGETS[target])._asdict(), "samples": _shown(samples_ND)}


def _shown(samples_ND: FloatArray) -> list[list[float]]:
    shown: list[list[float]] = samples_ND[:NUM_SHOWN].round(3).tolist()
    return shown


@torch.no_grad()
def draw_samples(model: GenerativeModel, n: int, seed: int) -> FloatArray:
    """(n, D) points."""
    return np.asarray(model.sample(n, Noise(seed, "samples")).flatten(1).double().numpy())
