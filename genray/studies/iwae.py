"""VAE and IWAE on binarized MNIST by the protocol of Burda et al. 2016, table 1, one stochastic layer or two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
from matplotlib.ticker import MaxNLocator

from genray.data import datasets
from genray.intervals import summarize
from genray.metrics.base import real_batches
from genray.metrics.importance_bound import bound_nats
from genray.models.base import HasPosterior
from genray.nn.importance import over_images
from genray.nn.noise import Noise
from genray.report.answer import Answer, Check, Figure, Table
from genray.report.drawing import legend, looks, panels
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

QUESTION = "Does a tighter bound train a better model: the NLL of VAE and IWAE on binarized MNIST, beside the paper's?"

PARTIAL = True

LATENT, HIDDEN = 50, 200
FIRST_RATE = 1e-3
CHUNK = 100  # test images at a time
PAPER = {  # NLL [nats] by 5,000 importance samples
    "VAE, k=1": 86.76,
    "VAE, k=5": 86.47,
    "VAE, k=50": 86.35,
    "IWAE, k=5": 85.54,
    "IWAE, k=50": 84.78,
    "IWAE, k=50, 2 layers": 82.90,
}
LOOKED_UP_IN = "the paper and its authors' code, github.com/yburda/iwae"
MODELS: dict[str, dict[str, Any]] = {  # the VAE of k averages k one-sample bounds
    "VAE, k=1": {},
    "VAE, k=5": {"num_draws": 5},
    "VAE, k=50": {"num_draws": 50},
    "IWAE, k=5": {"importance_samples": 5},
    "IWAE, k=50": {"importance_samples": 50},
    "IWAE, k=50, 2 layers": {"importance_samples": 50, "latent": 100, "top_latent": 50, "top_hidden": 100},
}


class Work(NamedTuple):
    """What a budget pays for."""

    labels: tuple[str, ...]
    seeds: int
    stages: tuple[int, ...]  # epochs at the rates 10^(−i/7) · 1e-3, i = 0, 1, …
    batch_size: int
    num_images: int  # of the test split
    num_draws: int  # importance samples of each
    pack: int = 1  # seeds of a part


WORK: dict[Budget, Work] = {
    "quick": Work(("VAE, k=1", "VAE, k=5", "IWAE, k=5"), 3, (1, 1), 20, 1_000, 500),
    "full": Work(tuple(MODELS), 3, (1, 3, 9, 27, 81, 243, 729), 100, 10_000, 5_000, pack=3),
}


def parts(budget: Budget) -> Sequence[Part]:
    """Seeds by seeds: what is done first can be compared first."""
    require_mnist("iwae")
    work = WORK[budget]
    return [
        Part(_name(label, seeds[0]), training, {"label": label, "seeds": seeds, "budget": budget}, gpu=1.0)
        for seeds in packs_of(work.seeds, work.pack)
        for label in work.labels
    ]


def _name(label: str, seed: int) -> str:
    return f"{label.lower().replace(', k=', '-').replace(', ', '-').replace(' ', '-')}-{seed}"


def training(*, label: str, seeds: Sequence[int], budget: Budget, saved: bytes | None) -> Pieces:
    """Trains through all stages, then estimates the NLL of test images, whose bits are the same for every model."""
    work = WORK[budget]
    model = {"name": "vae", "hidden": HIDDEN, "latent": LATENT, "binarized": True, **MODELS[label]}
    given: dict[str, Any] = {
        "epochs": sum(work.stages),
        "batch_size": work.batch_size,
        "optimizer": {"learning_rate": FIRST_RATE},
    }
    trainers = [trainer_of(model, seed=seed, **given) for seed in seeds]
    stage_of = [i for i, epochs in enumerate(work.stages) for _ in range(epochs)]

    def at_rate(trainer: Trainer) -> None:
        trainer.scale_learning_rates(10 ** (-stage_of[trainer.epoch] / 7))

    found = yield from trained(trainers, saved, before_epoch=at_rate)
    runs = []
    for trainer, rows in zip(trainers, found, strict=True):
        with torch.no_grad():
            nll_nats, error = _nll_nats(cast("HasPosterior", trainer.model.eval()), work, trainer.distributed.device)
        losses = [row["train/elbo/loss"] for row in rows]
        about = {"label": label, "place": list(MODELS).index(label), "seed": trainer.experiment.seed}
        runs.append(about | {"nll_nats": nll_nats, "error_nats": error, "losses": losses} | cost(trainer))
    return {"runs": runs}


def _nll_nats(model: HasPosterior, work: Work, device: torch.device) -> tuple[float, float]:
    """−L_k of the test split, and the standard error that the draws leave in it."""
    found = []
    for start, batch in real_batches(datasets.load("mnist").test.some(work.num_images), device, CHUNK):
        found.append(bound_nats(model, batch["image"], Noise("test", start, device=device), work.num_draws))
    mean, error = over_images(found)
    return -mean, error


def answer(outcomes: Mapping[str, Outcome], budget: Budget) -> Answer:
    work, found = WORK[budget], by_label(runs_of(outcomes))
    nll = {label: {run["seed"]: run["nll_nats"] for run in runs} for label, runs in found.items()}
    checks = _checks(nll)
    return Answer(
        summary=[*_summary(nll, work), *rule(checks)],
        checks=checks,
        tables=[_table(found, work), differences(_differing(work, seeds_of(found)), LOOKED_UP_IN)],
        figures=[_figure(found)],
        data={"runs": [run for runs in found.values() for run in runs]},
    )


def _summary(nll: Mapping[str, Mapping[int, float]], work: Work) -> list[str]:
    values = {label: list(of_seed.values()) for label, of_seed in nll.items()}
    reached = [label for label in values if summarize(values[label])["mean"] <= PAPER[label]]
    ours = "; ".join(f"{label} {over_seeds(values[label], 2)} (paper {PAPER[label]:.2f})" for label in values)
    goal = f"reached by {', '.join(reached)}" if reached else "reached by none"
    return [
        f"NLL after {sum(work.stages)} of the paper's 3,280 epochs: {ours} nats.",
        f"The paper's figures are {goal} at this budget.",
    ]


def _checks(nll: Mapping[str, Mapping[int, float]]) -> list[Check]:
    """nll: of each seed."""
    claims = [
        ("The IWAE of 5 samples is better than the VAE that averages 5", "IWAE, k=5", "VAE, k=5"),
        ("The IWAE of 5 samples is better than the VAE of 1", "IWAE, k=5", "VAE, k=1"),
        ("The IWAE of 50 samples is better than that of 5", "IWAE, k=50", "IWAE, k=5"),
        ("Two stochastic layers are better than one", "IWAE, k=50, 2 layers", "IWAE, k=50"),
    ]
    return checked(
        [
            gain(claim, f"NLL of {worse} less that of {better}", nll.get(worse, {}), nll.get(better, {}))
            for claim, better, worse in claims
        ]
    )


def _table(found: Mapping[str, Sequence[Outcome]], work: Work) -> Table:
    rows = [
        [
            label,
            over_seeds([run["nll_nats"] for run in runs], 2),
            f"{PAPER[label]:.2f}",
            f"{max(run['error_nats'] for run in runs):.3f}",
            over_seeds([run["train_seconds"] for run in runs], 0),
        ]
        for label, runs in found.items()
    ]
    return Table(
        "NLL on test images",
        ["model", "NLL [nats]", "paper", "error of the draws", "training [s]"],
        rows,
        f"By {work.num_draws:,} importance samples on {work.num_images:,} test images, binarized at random, the same "
        f"bits for all. Mean over {seeds_of(found)} ± its 95 % interval; the paper gives one run. With fewer images "
        f"than the whole split, all figures share the luck of which images.",
    )


def _differing(work: Work, seeds: str) -> list[tuple[str, str, str]]:
    rows = [
        ("epochs", "3,280: 3^i at the rates 1e-3 · 10^(−i/7), i = 0..7", f"{sum(work.stages)}: {_stages(work)}"),
        ("batch size", "20", str(work.batch_size)),
        ("hidden units", "2 × 200, and 2 × 100 between two layers, tanh", "the same, leaky ReLU"),
        (
            "first weights",
            "Glorot and Bengio 2010, uniform; the last bias gives the mean image",
            "He et al. 2015, normal; all biases 0",
        ),
        (
            "Adam",
            "β₁ 0.99, ε 1e-4 beside gradients summed over a batch, second moments from 1 on",
            "β₁ 0.9, ε 1e-8 beside their mean, second moments from 0 on",
        ),
        ("training images", "59,600", "55,000: 5,000 of the official split are for validation"),
        ("importance samples of the NLL", "5,000", f"{work.num_draws:,}"),
        ("test images", "10,000", f"{work.num_images:,}"),
        ("runs", "1", seeds),
    ]
    return [row for row in rows if row[1] != row[2]]


def _stages(work: Work) -> str:
    return f"{', '.join(map(str, work.stages))} at the same rates, i = 0..{len(work.stages) - 1}"


def _figure(found: Mapping[str, Sequence[Outcome]]) -> Figure:
    drawing, [left, right] = panels(1, 2, size=(4.2, 3.2))
    for i, (label, look) in enumerate(looks(list(found)).items()):
        nll = summarize([run["nll_nats"] for run in found[label]])
        left.errorbar(i, nll["mean"], yerr=nll["ci95"] or 0.0, fmt="o", color=look["color"], capsize=3)
        left.plot([i - 0.3, i + 0.3], [PAPER[label]] * 2, color="#444b55", lw=1, ls="--")
        losses = [run["losses"] for run in found[label]]
        means = [sum(epoch) / len(epoch) for epoch in zip(*losses, strict=True)]
        right.plot(range(1, len(means) + 1), means, marker="o", ms=3, label=label, **look)
    left.set(ylabel="NLL, test [nats]", title="after training (dashed: the paper)")
    left.set_xticks(range(len(found)), [label.replace(", ", "\n") for label in found])
    right.set(xlabel="epoch", ylabel="−bound, training [nats]", title="what each is trained on")
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend(drawing, right)
    return Figure(
        "nll",
        "NLL of each model, and what it was trained on",
        "Left: mean over seeds with its 95 % interval, the paper's figure as a dashed line. Right: the bound that each "
        "model minimizes, which for the IWAE is tighter by construction: compare models by the left panel alone.",
        drawing,
    )
