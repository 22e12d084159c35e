"""Gradient estimators on a VAE in training: their variance, its price, and what a control variate saves of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from genray.nn.noise import Noise
from genray.report.answer import Answer
from genray.studies import _gradient_answer
from genray.studies._gradient_ratio import ratios
from genray.studies._gradient_spread import LADDER, experiment, measure, trained, validation_images
from genray.studies.base import Budget, Outcome, Part

QUESTION = "How noisy is each estimator's gradient on a real VAE, and does a control variate save what theory says?"

MODELS = ("vae", "discrete_vae")
NUM_IMAGES = 32  # whose gradient is measured: of the validation split
NUM_SINGLE = 8  # whose gradients are looked at one by one
NUM_DRAWS = 8  # of z for each image in training
ELBO_DRAWS = 10  # of z for each validation image, averaged


class Work(NamedTuple):
    """What a budget pays for."""

    seeds: int
    replicates: int  # gradients, of which the variance is taken
    single_draws: int  # of z, for the ratio
    stages: tuple[int, ...]  # epochs after which gradients are measured
    curve: tuple[int, ...]  # epochs after which the bound is measured


WORK: dict[Budget, Work] = {
    "quick": Work(3, 30, 20_000, (0, 2, 40), (0, 1, 2, 5, 10, 20, 30, 40)),
    "full": Work(10, 200, 40_000, (0, 2, 10, 40, 160), (0, 1, 2, 5, 10, 20, 40, 80, 160)),
}


def parts(budget: Budget) -> Sequence[Part]:
    """For each model and seed, gradients at every stage; and a training by each estimator."""
    work, found = WORK[budget], []
    for seed in range(work.seeds):
        for model in MODELS:
            given = {"model": model, "seed": seed, "budget": budget}
            found.append(Part(f"gradients-{model}-{seed}", gradients, given))
            for label, way in LADDER[model].items():
                name = f"training-{model}-{label.replace(', ', '-').replace(' ', '-')}-{seed}"
                found.append(Part(name, training, given | {"label": label, **way._asdict()}))
    return found


def gradients(*, model: str, seed: int, budget: Budget) -> Outcome:
    """Spread of every estimator's gradient and the ratio of a control variate, at each stage of one training."""
    work, images, stages = WORK[budget], validation_images(), []
    for epoch, vae, _ in trained(experiment(model, seed=seed, epochs=work.stages[-1]), work.stages):
        key = f"{model} {seed} {epoch}"
        spreads = measure(vae, model, images[:NUM_IMAGES], replicates=work.replicates, key=key)
        found = ratios(vae, images[:NUM_SINGLE], num_draws=work.single_draws, key=key)
        stages.append({"epoch": epoch, "replicates": work.replicates, "spreads": spreads, "ratios": found})
    return {"model": model, "seed": seed, "stages": stages}


def training(*, model: str, seed: int, budget: Budget, label: str, estimator: str, kl_term: str) -> Outcome:
    """Bound on the validation split [nats] over a training by one estimator."""
    epochs, curve = WORK[budget].curve, []
    config = {"estimator": estimator, "kl_term": kl_term, "num_draws": NUM_DRAWS}
    images = validation_images()
    for epoch, vae, seconds in trained(experiment(model, seed=seed, epochs=epochs[-1], **config), epochs):
        with torch.no_grad():
            bounds = [vae.elbo_nats(images, Noise("bound", draw)).mean().item() for draw in range(ELBO_DRAWS)]
        curve.append({"epoch": epoch, "elbo_nats": sum(bounds) / len(bounds), "seconds": seconds})
    return {"model": model, "seed": seed, "label": label, "curve": curve}


def answer(outcomes: Mapping[str, Outcome], budget: Budget) -> Answer:
    return _gradient_answer.answer(list(outcomes.values()))
