"""The joint VAE of image and label on binarized MNIST (JMVAE-kl, Suzuki et al. 2016), beside its paper's likelihood."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from genray.data import datasets
from genray.images import to_uint8
from genray.intervals import summarize
from genray.metrics.base import real_batches
from genray.models.joint_vae import Model
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

QUESTION = "How likely are MNIST's images and labels under a joint VAE, and what does drawing one from the other cost?"
PARTIAL = True

LABEL, IMAGE = 0, 1  # the views
CHUNK = 100  # test images at a time
PAPER, MULTIVAE = -86.86, "-86.85 ± 0.03"  # the paper's log-likelihood [nats], and that of MultiVae's reproduction
LOOKED_UP_IN = "the paper and its authors' code, github.com/masa-su/jmvae"
ALPHAS = {"α = 0.1": 0.1, "α = 1": 1.0}  # the first is the paper's
FIRST, SECOND = ALPHAS
KEYS = ("joint_nats", "image_nats", "image_given_label_nats", "label_given_image_nats", "label_accuracy")


class Work(NamedTuple):
    """What a budget pays for."""

    seeds: int
    epochs: int
    warmup_epochs: int
    hidden: int
    num_images: int  # of the test split
    num_draws: int  # importance samples of each
    pack: int = 1  # seeds of a part


WORK: dict[Budget, Work] = {
    "quick": Work(3, 2, 1, 256, 1_000, 100),
    "full": Work(5, 500, 200, 512, 10_000, 1_000, pack=5),
}


def parts(budget: Budget) -> Sequence[Part]:
    """Seeds by seeds: what is done first can be compared first."""
    require_mnist("jmvae")
    return [
        Part(f"alpha-{alpha:g}-{seeds[0]}", training, {"label": label, "seeds": seeds, "budget": budget}, gpu=1.0)
        for seeds in packs_of(WORK[budget].seeds, WORK[budget].pack)
        for label, alpha in ALPHAS.items()
    ]


def training(*, label: str, seeds: Sequence[int], budget: Budget, saved: bytes | None) -> Pieces:
    """Trains a model with each seed, then estimates on test images, whose bits are the same for all."""
    work = WORK[budget]
    model = {"name": "joint_vae", "hidden": work.hidden, "latent": 64, "binarized": True, "alpha": ALPHAS[label]}
    model["kl_warmup_epochs"] = work.warmup_epochs
    given: dict[str, Any] = {"epochs": work.epochs, "batch_size": 100, "optimizer": {"learning_rate": 1e-3}}
    trainers, runs = [trainer_of(model, seed=seed, **given) for seed in seeds], []
    yield from trained(trainers, saved)
    for trainer in trainers:
        device, joint = trainer.distributed.device, cast("Model", trainer.model.eval())
        found = scores(joint, work, device) | {"images_by_label": _by_label(joint, device)} | cost(trainer)
        runs.append({"label": label, "place": list(ALPHAS).index(label), "seed": trainer.experiment.seed} | found)
    return {"runs": runs}


@torch.no_grad()
def scores(model: Model, work: Work, device: torch.device) -> Outcome:
    """Means over test images of the likelihoods and bounds [nats], and how often the label is told of the image."""
    found = []
    for start, batch in real_batches(datasets.load("mnist").test.some(work.num_images), device, CHUNK):
        noise = Noise("jmvae", start, device=device)
        label, image = model.pair(batch, noise)
        batch |= {"image": image}  # binarized once: to do it again changes no bit
        joint, alone = model.log_likelihoods_nats(batch, noise, work.num_draws)
        image_given = model.conditional_elbo_nats(batch, noise, LABEL)
        label_given = model.conditional_elbo_nats(batch, noise, IMAGE)
        told = model.cross(image, noise, given=IMAGE).argmax(1) == label.argmax(1)
        found.append(torch.stack([joint, alone, image_given, label_given, told.to(joint)]))
    every = torch.cat(found, dim=1).cpu().double()
    error = float(every[1].std()) / every.shape[1] ** 0.5
    return dict(zip(KEYS, every.mean(1).tolist(), strict=True)) | {"image_error_nats": error}


@torch.no_grad()
def _by_label(model: Model, device: torch.device) -> list[list[list[int]]]:
    """An image of each label, z drawn from q(z|label)."""
    labels = torch.eye(10, device=device)
    images: Tensor = model.cross(labels, Noise("jmvae", "labels", device=device), given=LABEL)
    shown: list[list[list[int]]] = to_uint8(images)[:, 0].tolist()
    return shown


def answer(outcomes: Mapping[str, Outcome], budget: Budget) -> Answer:
    work, found = WORK[budget], by_label(runs_of(outcomes))
    kept = [{key: v for key, v in run.items() if key != "images_by_label"} for runs in found.values() for run in runs]
    checks = _checks(found)
    return Answer(
        summary=[*_summary(found, work), *rule(checks)],
        checks=checks,
        tables=[_table(found, work), differences(_differing(work), LOOKED_UP_IN)],
        figures=[_figure(found)],
        data={"runs": kept},
    )


def _values(runs: Sequence[Outcome], key: str) -> list[float]:
    return [run[key] for run in runs]


def _summary(found: Mapping[str, Sequence[Outcome]], work: Work) -> list[str]:
    sentences = [
        f"{label}, after {work.epochs} epochs: ln p(image, label) {over_seeds(_values(runs, 'joint_nats'), 2)}, "
        f"ln p(image) {over_seeds(_values(runs, 'image_nats'), 2)} nats."
        for label, runs in found.items()
    ]
    if FIRST in found:
        reached = summarize(_values(found[FIRST], "image_nats"))["mean"] >= PAPER
        verdict = "reached" if reached else "not reached"
        sentences.append(f"The paper's {PAPER:.2f}, with α = 0.1 and 500 epochs, is {verdict} at this budget.")
    return sentences


def _checks(found: Mapping[str, Sequence[Outcome]]) -> list[Check]:
    """What α weighs against each other, eq. 5 of the paper."""

    def of(label: str, key: str) -> dict[int, float]:
        return {run["seed"]: run[key] for run in found.get(label, [])}

    claims = [
        gain(
            "A larger α costs joint likelihood",
            f"ln p(image, label) with {FIRST} less that with {SECOND}",
            of(FIRST, "joint_nats"),
            of(SECOND, "joint_nats"),
        ),
        gain(
            "A larger α makes the image likelier where the label alone is given",
            f"bound on ln p(image|label) with {SECOND} less that with {FIRST}",
            of(SECOND, "image_given_label_nats"),
            of(FIRST, "image_given_label_nats"),
        ),
    ]
    return checked(claims)


def _table(found: Mapping[str, Sequence[Outcome]], work: Work) -> Table:
    papers = {FIRST: (f"{PAPER:.2f}", MULTIVAE)}
    rows = [
        [
            label,
            over_seeds(_values(runs, "joint_nats"), 2),
            over_seeds(_values(runs, "image_nats"), 2),
            *papers.get(label, ("-", "-")),
            *(over_seeds(_values(runs, key), 2) for key in ("image_given_label_nats", "label_given_image_nats")),
            over_seeds([100 * share for share in _values(runs, "label_accuracy")], 1),
            over_seeds(_values(runs, "train_seconds"), 0),
        ]
        for label, runs in found.items()
    ]
    error = max(run["image_error_nats"] for runs in found.values() for run in runs)
    return Table(
        "Log-likelihood of test images and labels [nats]",
        [
            "model",
            "ln p(image, label)",
            "ln p(image)",
            "the paper",
            "MultiVae",
            "bound on ln p(image|label)",
            "on ln p(label|image)",
            "labels told [%]",
            "training [s]",
        ],
        rows,
        f"By {work.num_draws:,} importance samples of q(z|image, label) on {work.num_images:,} test images, binarized "
        f"at random, the same bits for all; which images they are leaves an error of {error:.2f} nats in all alike. "
        f"Mean over {seeds_of(found)} ± its 95 % interval. Labels are told by the decoder at one z of q(z|image).",
    )


def _differing(work: Work) -> list[tuple[str, str, str]]:
    multivae = "by MultiVae's scripts: "
    rows = [
        (
            "which likelihood",
            "called joint; MultiVae's script computes that of the image alone, weighted by q(z|image, label), and says "
            "that the paper does",
            "both",
        ),
        ("epochs", f"{multivae}500, of which 200 of warm-up", f"{work.epochs}, of which {work.warmup_epochs}"),
        ("weights", f"{multivae}of the best epoch after the warm-up", "of the last"),
        (
            "networks",
            "512, ReLU, for each view, and 512 above both; 2 × 512 for each decoder and each q(z|view)",
            f"2 × {work.hidden}, leaky ReLU, for each view",
        ),
        ("training images", "60,000", "55,000: 5,000 of the official split are for validation"),
        ("importance samples", f"{multivae}1,000", f"{work.num_draws:,}"),
        ("test images", "10,000", f"{work.num_images:,}"),
    ]
    return [row for row in rows if row[1].removeprefix(multivae) != row[2]]


def _figure(found: Mapping[str, Sequence[Outcome]]) -> Figure:
    bounds = {label: summarize(_values(runs, "image_given_label_nats"))["mean"] for label, runs in found.items()}
    drawing = films(
        {
            label: (
                np.array(runs[0]["images_by_label"], np.uint8),
                f"ln p(image|label) ≥ {bounds[label]:.1f} nats",
            )
            for label, runs in found.items()
        }
    )
    return Figure(
        "labels",
        "An image of each label",
        "Of the first seed: the mean of p(image|z), z drawn from q(z|label), for labels 0 to 9. Is each of its label?",
        drawing,
    )
