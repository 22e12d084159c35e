"""How many of the 1,000 modes of stacked MNIST a GAN covers, by the protocol of Lin et al. 2018 (PacGAN), §4.2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from genray.metrics.modes import expected_modes
from genray.report.answer import Answer, Check, Figure, Table
from genray.report.drawing import films
from genray.studies._claims import Claim, checked, rule
from genray.studies._mnist import by_label, cost, differences, over_seeds, require_mnist, runs_of, seeds_of, trainer_of
from genray.studies._pieces import packs_of, trained
from genray.studies._stacked import NUM_MODES, counted_real, counted_samples, paired, training_data, true_shares
from genray.studies.base import Budget, Outcome, Part, Pieces

QUESTION = "Which GAN covers the 1,000 modes of stacked MNIST, and with what divergence, beside the papers'?"

PARTIAL = True

REAL = "test images"
PLAIN, PACKED, CRITIC = "GAN", "GAN, packed by 2", "WGAN-GP"
MODELS: dict[str, dict[str, Any]] = {
    PLAIN: {},
    PACKED: {"packing": 2},
    CRITIC: {"loss": "wgan_gp"},
    "GAN, R1": {"r1_weight": 1.0},
    "GAN, minibatch discrimination": {"minibatch_discrimination": 16},
    "GAN, hinge, spectral norm": {"loss": "hinge", "spectral_norm": True},
}
PAPER = {PLAIN: "99 / 3.40", PACKED: "1000 / 0.06"}
ELSEWHERE = {  # modes and KL [nats] of models that are not trained here, or not by the protocol of PacGAN's paper
    "ALI": "16 / 5.40",
    "Unrolled GAN": "48.7 / 4.32",
    "VEEGAN": "150 / 2.95",
    "WGAN-GP (its source was not looked up)": "959 / 0.73",
    "StyleGAN2": "940 / 0.42",
    "R3GAN": "1000 / 0.029",
}
GOAL_NATS = 0.06
LOOKED_UP_IN = "the paper and its authors' code, github.com/fjxmlzn/PacGAN, which has no WGAN-GP"


class Work(NamedTuple):
    """What a budget pays for."""

    labels: tuple[str, ...]
    seeds: int
    num_images: int  # to train on
    epochs: int
    hidden: int  # channels of the coarsest level
    num_samples: int
    pack: int = 1  # seeds of a part


WORK: dict[Budget, Work] = {
    "quick": Work((PLAIN, PACKED, CRITIC), 5, 12_800, 3, 32, 10_000),
    "full": Work(tuple(MODELS), 5, 128_000, 50, 256, 26_000, pack=5),
}
BATCH_SIZE, LATENT = 64, 100


def parts(budget: Budget) -> Sequence[Part]:
    """Trainings, and test images in the place of samples; seeds by seeds."""
    require_mnist("stacked_mnist")
    work = WORK[budget]
    return [
        Part(
            _name(label, seeds[0]), scored, {"label": label, "seeds": seeds, "budget": budget}, gpu=float(label != REAL)
        )
        for seeds in packs_of(work.seeds, work.pack)
        for label in (*work.labels, REAL)
    ]


def _name(label: str, seed: int) -> str:
    return f"{label.lower().replace(', ', '-').replace(' ', '-')}-{seed}"


def scored(*, label: str, seeds: Sequence[int], budget: Budget, saved: bytes | None) -> Pieces:
    """Trains a model with each seed and counts the modes of its samples; or counts those of as many test images."""
    work, place = WORK[budget], [*MODELS, REAL].index(label)
    if label == REAL:
        found = [counted_real(work.num_samples, seed=seed) for seed in seeds]
    else:
        model = {"name": "gan", "network": "conv", "hidden": work.hidden, "latent": LATENT, **MODELS[label]}
        given: dict[str, Any] = {
            "epochs": work.epochs,
            "batch_size": BATCH_SIZE,
            "data": training_data(work.num_images),
        }
        trainers = [trainer_of(model, seed=seed, **given) for seed in seeds]
        yield from trained(trainers, saved)
        found = [counted_samples(trainer, work.num_samples) | cost(trainer) for trainer in trainers]
    return {
        "runs": [{"label": label, "place": place, "seed": seed} | run for seed, run in zip(seeds, found, strict=True)]
    }


def answer(outcomes: Mapping[str, Outcome], budget: Budget) -> Answer:
    work, found = WORK[budget], by_label(runs_of(outcomes))
    runs = [{key: v for key, v in run.items() if key != "samples"} for of_label in found.values() for run in of_label]
    checks = _checks(found)
    return Answer(
        summary=[*_summary(found, work), *rule(checks)],
        checks=checks,
        tables=[_table(found, work), _elsewhere(), differences(_differing(work, seeds_of(found)), LOOKED_UP_IN)],
        figures=[_figure(found)],
        data={"runs": runs},
    )


def _values(runs: Sequence[Outcome], key: str) -> list[float]:
    return [run[key] for run in runs if key in run]


def _both(runs: Sequence[Outcome]) -> str:
    return f"{over_seeds(_values(runs, 'modes'), 0)} / {over_seeds(_values(runs, 'kl_nats'), 2)}"


def _summary(found: Mapping[str, Sequence[Outcome]], work: Work) -> list[str]:
    ours = "; ".join(
        f"{label} {_both(runs)}" + (f" (paper {PAPER[label]})" if label in PAPER else "")
        for label, runs in found.items()
    )
    reached = [label for label, runs in found.items() if label != REAL and all(map(_is_at_goal, runs))]
    goal = f"reached in every run by {', '.join(reached)}" if reached else "reached by none"
    return [
        f"Modes / KL [nats] after {work.epochs} epochs of {work.num_images:,} images: {ours}.",
        f"All {NUM_MODES:,} modes with a KL of at most {GOAL_NATS:g} nats are {goal} at this budget.",
    ]


def _is_at_goal(run: Outcome) -> bool:
    return bool(run["modes"] == NUM_MODES and run["kl_nats"] <= GOAL_NATS)


def _checks(found: Mapping[str, Sequence[Outcome]]) -> list[Check]:
    """Of runs with the same seed, so with the same batches."""
    claims = [
        ("A packed discriminator covers more modes than a plain one", PACKED, PLAIN, "modes", 1),
        ("A packed discriminator brings the modes' shares nearer to the true ones", PACKED, PLAIN, "kl_nats", -1),
        ("A critic with a gradient penalty covers more modes than a plain discriminator", CRITIC, PLAIN, "modes", 1),
    ]  # fmt: skip
    asked = []
    for claim, better, worse, key, sign in claims:
        gains = paired(found.get(better, []), found.get(worse, []), itemgetter(key))
        what, decimals = ("modes", 0) if key == "modes" else ("nats of KL", 2)
        text = f"{better} less {worse}: {over_seeds(gains, decimals)} {what}, paired by seed" if gains else ""
        asked.append(Claim(claim, text, [sign * gain for gain in gains]))
    return checked(asked)


def _table(found: Mapping[str, Sequence[Outcome]], work: Work) -> Table:
    rows = [
        [
            label,
            over_seeds(_values(runs, "modes"), 0),
            over_seeds(_values(runs, "kl_nats"), 2 if label != REAL else 3),
            PAPER.get(label, "-"),
            over_seeds(seconds, 0) if (seconds := _values(runs, "train_seconds")) else "-",
        ]
        for label, runs in found.items()
    ]
    expected = expected_modes(true_shares(), work.num_samples)
    return Table(
        "Modes covered, of 1,000",
        ["samples of", "modes", "KL [nats]", "paper: modes / KL", "training [s]"],
        rows,
        f"Of {work.num_samples:,} samples, each plane named by a classifier of digits; KL(p of samples ‖ p of training "
        f"images). Mean over {seeds_of(found)} ± its 95 % interval. As many draws of the true shares cover "
        f"{expected:.1f} modes and diverge by about {(NUM_MODES - 1) / (2 * work.num_samples):.3f} nats: the floor. "
        f"The classifier names a digit whatever it sees: a sample that shows none counts for a mode too.",
    )


def _elsewhere() -> Table:
    rows = [[label, figures] for label, figures in ELSEWHERE.items()]
    return Table("What papers give for other models", ["model", "modes / KL [nats]"], rows)


def _differing(work: Work, seeds: str) -> list[tuple[str, str, str]]:
    rows = [
        (
            "training images",
            "128,000, of all 70,000 digits, those of the test split among them",
            f"{work.num_images:,}, of 55,000 digits: 5,000 are for validation",
        ),
        ("epochs", "50", f"{work.epochs}"),
        ("samples", "26,000", f"{work.num_samples:,}"),
        (
            "networks",
            "a DCGAN: 512 channels at 2 x 2, 64 at 14 x 14, batch normalization",
            f"convolutions, {work.hidden} channels at 7 x 7, half of them at 14 x 14, no normalization",
        ),
        ("learning rate of the GANs", "2e-4", "2e-3"),
        ("codes", "100, uniform", "100, normal"),
        ("classifier", "of the paper's own", "three times the one of MNIST's extractor, a plane each"),
        ("runs", "10", seeds),
    ]
    return [row for row in rows if row[1] != row[2]]


def _figure(found: Mapping[str, Sequence[Outcome]]) -> Figure:
    drawing = films(
        {
            label: (np.array(runs[0]["samples"], np.uint8).transpose(0, 2, 3, 1), _both(runs))
            for label, runs in found.items()
        }
    )
    return Figure(
        "samples",
        "The first samples of each: modes / KL [nats]",
        "Of the first seed. Are there three digits in each, one a colour, and are they not always the same?",
        drawing,
    )
