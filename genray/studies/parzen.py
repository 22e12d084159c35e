"""Parzen-window log-likelihood of GAN, VAE and AAE on MNIST, beside the papers' figures and beside AIS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray

from genray.data import datasets
from genray.evaluation.judge import MAX_TUNING, draw, evaluating
from genray.images import to_float
from genray.intervals import summarize
from genray.metrics import parzen as metric
from genray.metrics.ais_gaussian import SIGMA, around
from genray.models.base import HasDecoder
from genray.nn.annealing import annealed_importance
from genray.nn.importance import over_images
from genray.nn.noise import Noise
from genray.report.answer import Answer, Check, Figure, Table
from genray.report.drawing import films
from genray.studies._claims import checked, rule
from genray.studies._mnist import (
    by_label,
    cost,
    differences,
    gain,
    over_seeds,
    require_mnist,
    runs_of,
    seeds_of,
    trainer_of,
)
from genray.studies._pieces import packs_of, trained
from genray.studies.base import Budget, Outcome, Part, Pieces
from genray.train.trainer import Trainer

QUESTION = (
    "How likely are MNIST's test images under a Parzen window on samples of GAN, VAE and AAE, and what is it worth?"
)

PARTIAL = True

REAL = "training images"
NUM_SAMPLES = 10_000
LATENT = 8
NUM_SHOWN = 10  # samples of each model
MODELS: dict[str, dict[str, Any]] = {
    "GAN": {"name": "gan", "latent": 100},
    "VAE": {"name": "vae", "latent": LATENT},
    "AAE": {"name": "aae", "latent": LATENT, "prior_std": 5.0},  # the published AAE's
}
PAPER = {  # mean ± standard error over test images [nats]
    "GAN": "225 ± 2 (Goodfellow et al. 2014)",
    "VAE": "325 ± 2 (3 × 500, z = 8); 290 ± 2 (the AAE's networks)",
    "AAE": "340 ± 2 (Makhzani et al. 2015)",
    REAL: "none",
}
LOOKED_UP_IN = "the papers, the GAN's code, github.com/goodfeli/adversarial, and that of a published AAE"


class Work(NamedTuple):
    """What a budget pays for."""

    seeds: int
    epochs: int
    hidden: int
    num_annealed: int  # test images of which ln p is estimated by AIS; 0: of none
    chains: int
    temperatures: int
    pack: int = 1  # seeds of a part


# with 200 temperatures and 8 chains one chain outweighed the others in each image: AIS is left to the full budget
WORK: dict[Budget, Work] = {"quick": Work(3, 2, 256, 0, 0, 0), "full": Work(5, 200, 1_000, 100, 16, 3_000, pack=5)}


def parts(budget: Budget) -> Sequence[Part]:
    """Trainings, and samples that are training images."""
    require_mnist("parzen")
    return [
        Part(f"{label.lower().replace(' ', '-')}-{seeds[0]}", scored, arguments, gpu=float(label != REAL))
        for seeds in packs_of(WORK[budget].seeds, WORK[budget].pack)
        for label in PAPER
        for arguments in [{"label": label, "seeds": seeds, "budget": budget}]
    ]


def scored(*, label: str, seeds: Sequence[int], budget: Budget, saved: bytes | None) -> Pieces:
    """Trains a model with each seed, draws from it, and scores the draws; or scores as many training images."""
    work, place = WORK[budget], list(PAPER).index(label)
    if label == REAL:
        found = [_real(seed) for seed in seeds]
    else:
        model = MODELS[label] | {"hidden": work.hidden}
        given: dict[str, Any] = {"epochs": work.epochs, "batch_size": 100}
        trainers = [trainer_of(model, seed=seed, **given) for seed in seeds]
        yield from trained(trainers, saved)
        found = [_scored(trainer, work) for trainer in trainers]
    return {
        "runs": [{"label": label, "place": place, "seed": seed} | run for seed, run in zip(seeds, found, strict=True)]
    }


def _real(seed: int) -> Outcome:
    train = datasets.load("mnist").train.images
    order = np.random.default_rng(seed).permutation(len(train))[:NUM_SAMPLES]
    return _parzen(train[order], torch.device("cpu"))


def _scored(trainer: Trainer, work: Work) -> Outcome:
    seed, device = trainer.experiment.seed, trainer.distributed.device
    with evaluating(trainer.model):
        samples = np.concatenate(list(draw(trainer.model.sample, NUM_SAMPLES, seed=seed, device=device)))
        found = _parzen(samples, device) | (_annealed(trainer, work) if work.num_annealed else {})
    return found | cost(trainer)


def _parzen(samples: NDArray[np.uint8], device: torch.device) -> Outcome:
    """σ is chosen on validation images, and the test split scored with it."""
    data = datasets.load("mnist")
    sigma = metric.best_sigma(data.validation.some(MAX_TUNING).images, samples, device)
    [nats] = metric.log_density(data.test.images, samples, [sigma], device)
    return {
        "parzen_nats": float(nats.mean()),
        "error_nats": float(nats.std()) / len(nats) ** 0.5,
        "sigma": sigma,
        "samples": samples[:NUM_SHOWN, 0].tolist(),
    }


def _annealed(trainer: Trainer, work: Work) -> Outcome:
    """ln p of test images with Gaussian noise of σ = 0.1 around what is decoded."""
    device, model = trainer.distributed.device, trainer.model
    images = to_float(datasets.load("mnist").test.some(work.num_annealed).images, device)
    found = annealed_importance(
        around(cast("HasDecoder", model), images),
        (len(images), model.latent),
        Noise("ais", device=device),
        num_temperatures=work.temperatures,
        num_chains=work.chains,
    )
    mean, error = over_images([found])
    return {"ais_nats": mean, "ais_error_nats": error}


def answer(outcomes: Mapping[str, Outcome], budget: Budget) -> Answer:
    work, found = WORK[budget], by_label(runs_of(outcomes))
    runs = [{key: v for key, v in run.items() if key != "samples"} for of_label in found.values() for run in of_label]
    checks = _checks(found)
    return Answer(
        summary=[*_summary(found, work), *rule(checks)],
        checks=checks,
        tables=[_table(found, work), differences(_differing(work), LOOKED_UP_IN)],
        figures=[_figure(found)],
        data={"runs": runs},
    )


def _values(runs: Sequence[Outcome], key: str) -> list[float]:
    return [run[key] for run in runs if key in run]


def _summary(found: Mapping[str, Sequence[Outcome]], work: Work) -> list[str]:
    ours = "; ".join(
        f"{label} {over_seeds(_values(runs, 'parzen_nats'), 0)} (papers: {PAPER[label]})"
        for label, runs in found.items()
    )
    said = [f"Parzen window after {work.epochs} epochs, 2 × {work.hidden} hidden units: {ours} nats."]
    if work.num_annealed and found.keys() >= MODELS.keys():
        said.append(
            f"Means over seeds stand in this order, by the window: {_order(found, 'parzen_nats')}; by AIS: "
            f"{_order(found, 'ais_nats')}."
        )
    return said


def _order(found: Mapping[str, Sequence[Outcome]], key: str) -> str:
    means = {label: fmean(_values(found[label], key)) for label in MODELS}
    return " > ".join(sorted(MODELS, key=lambda label: -means[label]))


def _checks(found: Mapping[str, Sequence[Outcome]]) -> list[Check]:
    """Goodness by the window is not goodness: a model above the training images is closer to test images than they."""
    nats = {label: {run["seed"]: run["parzen_nats"] for run in runs} for label, runs in found.items()}
    return checked(
        [
            gain(
                f"Samples of the {label} score below as many training images",
                f"{REAL} less {label}",
                nats.get(REAL, {}),
                nats.get(label, {}),
            )
            for label in MODELS
        ]
    )


def _table(found: Mapping[str, Sequence[Outcome]], work: Work) -> Table:
    rows = []
    for label, runs in found.items():
        annealed = _values(runs, "ais_nats") if work.num_annealed else []
        seconds = _values(runs, "train_seconds")
        rows.append(
            [
                label,
                over_seeds(_values(runs, "parzen_nats"), 0),
                f"{max(_values(runs, 'error_nats')):.1f}",
                PAPER[label],
                ", ".join(f"{sigma:.3f}" for sigma in _values(runs, "sigma")),
                over_seeds(annealed, 0) if annealed else "-",
                over_seeds(seconds, 0) if seconds else "-",
            ]
        )
    return Table(
        "ln p of test images",
        [
            "samples of",
            "Parzen [nats]",
            "its error over images",
            "papers",
            "σ of each seed",
            "AIS [nats]",
            "training [s]",
        ],
        rows,
        f"Parzen: {NUM_SAMPLES:,} samples, a Gaussian kernel whose σ is the best of {len(metric.SIGMAS)} on "
        f"{MAX_TUNING:,} validation images, all test images in [0, 1]. Mean over {seeds_of(found)} ± its 95 % "
        f"interval; the papers' ± is the error over images. {_about_ais(work)}",
    )


def _about_ais(work: Work) -> str:
    if not work.num_annealed:
        return "AIS, which takes many temperatures, is left to the full budget."
    return (
        f"AIS: {work.num_annealed} test images under Gaussian noise of σ = {SIGMA:g} around what is decoded, "
        f"{work.chains} chains, {work.temperatures:,} temperatures; Wu et al. 2017 have widths and models of their "
        f"own, so that their figures (VAE-50 991 ± 6.5, GAN-50 627 ± 8.8) do not stand beside these."
    )


def _differing(work: Work) -> list[tuple[str, str, str]]:
    return [
        (
            "networks",
            "GAN: 2 × 1,200, ReLU, against 2 × 240 maxout units of 5; 1,200 in a published AAE that scores 345 ± 1.9",
            f"2 × {work.hidden}, leaky ReLU, all models",
        ),
        ("codes of the GAN", "100, uniform", "100, normal"),
        ("optimizer of the GAN", "SGD, its rate from 0.1 down, momentum from 0.5 to 0.7", "Adam"),
        ("epochs", "200 in that AAE", f"{work.epochs}"),
        ("training images", "GAN: 50,000", "55,000: 5,000 of the official split are for validation"),
        ("widths of the window", "GAN: 10 from 0.1 to 1", "41 from 0.01 to 1"),
    ]


def _figure(found: Mapping[str, Sequence[Outcome]]) -> Figure:
    scores = {label: summarize(_values(runs, "parzen_nats"))["mean"] for label, runs in found.items()}
    drawing = films(
        {label: (np.array(runs[0]["samples"], np.uint8), f"{scores[label]:.0f} nats") for label, runs in found.items()}
    )
    return Figure(
        "samples",
        "The first samples of each, and its score",
        "Of the first seed. Does the score follow what the eye says? Blur costs little: a window is a blur itself.",
        drawing,
    )
