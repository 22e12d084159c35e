"""The questions of the study `hidden_size` as paired tests, each with a verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Literal, NamedTuple

from genray.report.intervals import summarize
from genray.studies._paired import beyond_p, equivalence_p, holm, sign_flip_p, two_sided_p
from genray.studies.base import Outcome

SIZES = SMALL, MIDDLE, LARGE = (19, 64, 128)
PRIMARY = "frechet"  # lower is better
LEVEL = 0.05  # of all questions together
MARGIN = 0.1  # within which a change is called little: of the way from the floor to the smallest size


class Of(NamedTuple):
    """A model that is compared. ProGAN is not: its `hidden` counts channels of convolutions, another axis."""

    title: str
    kind: Literal["VAE", "GAN", "both"]  # both: an autoencoder that learns from a discriminator too


MODELS = {
    "vae": Of("VAE", "VAE"),
    "gan": Of("GAN", "GAN"),
    "vae_gan": Of("VAE-GAN", "both"),
    "aae": Of("AAE", "both"),
    "cvae": Of("CVAE", "VAE"),
    "discrete_vae": Of("Discrete VAE", "VAE"),
    "joint_vae": Of("Joint VAE", "VAE"),
}

Scores = Mapping[tuple[str, int], Mapping[int, float]]  # (model, hidden size) → seed → Fréchet distance
Verdict = Literal["better", "worse", "little", "more", "undecided"]


class PairedTest(NamedTuple):
    """`first` less `second`, paired by seed: the same batches in the same order, and the same noise where the shapes
    agree."""

    question: Literal["larger", "little", "gan"]
    first: tuple[str, int]  # model and hidden size
    second: tuple[str, int]
    differences: tuple[float, ...]
    mean: float
    ci95: float | None
    margin: float | None  # of the questions for little change
    p: float
    flip_p: float
    holm_p: float
    verdict: Verdict

    @property
    def label(self) -> str:
        """`AAE: 64 less 19`, `GAN less VAE, h = 64`"""
        (model, size), (other, other_size) = self.first, self.second
        if model == other:
            return f"{MODELS[model].title}: {size} less {other_size}"
        return f"{MODELS[model].title} less {MODELS[other].title}, h = {size}"


def scores_of(runs: Sequence[Outcome], metric: str = PRIMARY) -> Scores:
    found: dict[tuple[str, int], dict[int, float]] = {}
    for run in runs:
        if metric in run["scores"]:
            found.setdefault((run["model"], run["hidden"]), {})[run["seed"]] = run["scores"][metric]
    return found


def paired_tests(scores: Scores, floor: float) -> list[PairedTest]:
    """All that can be asked of the models that are there, corrected by Holm over all."""
    open_tests = [_opened(question, first, second, scores, floor) for question, first, second in _asked(scores)]
    holm_p = holm({test.label: test.p for test in open_tests})
    return [_decided(test._replace(holm_p=holm_p[test.label])) for test in open_tests]


def _asked(scores: Scores) -> Iterator[tuple[Literal["larger", "little", "gan"], tuple[str, int], tuple[str, int]]]:
    models = [model for model in MODELS if any(model == there for there, _ in scores)]
    gans = [model for model in models if MODELS[model].kind == "GAN"]
    yield from (("larger", (model, MIDDLE), (model, SMALL)) for model in models)
    yield from (("little", (model, LARGE), (model, MIDDLE)) for model in models)
    yield from (
        ("gan", (gan, size), (other, size)) for gan in gans for size in SIZES for other in models if other not in gans
    )


def _opened(
    question: Literal["larger", "little", "gan"],
    first: tuple[str, int],
    second: tuple[str, int],
    scores: Scores,
    floor: float,
) -> PairedTest:
    differences = paired(scores[first], scores[second])
    margin = None
    if question == "little":
        margin = MARGIN * max(0.0, fmean(scores[first[0], SMALL].values()) - floor)
        # one of the two is false, whatever the truth, so the smaller p is held against the level of one question
        p = min(equivalence_p(differences, margin), beyond_p(differences, margin))
    else:
        p = two_sided_p(differences)
    found = summarize(differences)
    flip_p = sign_flip_p(differences)
    return PairedTest(
        question, first, second, differences, found["mean"], found["ci95"], margin, p, flip_p, 1.0, "undecided"
    )


def paired(first: Mapping[int, float], second: Mapping[int, float]) -> tuple[float, ...]:
    """Differences of the seeds that both have."""
    return tuple(first[seed] - second[seed] for seed in sorted(first.keys() & second.keys()))


def _decided(test: PairedTest) -> PairedTest:
    if test.holm_p >= LEVEL:
        return test
    if test.margin is None:
        return test._replace(verdict="better" if test.mean < 0 else "worse")
    return test._replace(verdict="little" if abs(test.mean) < test.margin else "more")
