"""The questions of the study `hidden_size` as paired tests, each with a verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Literal, NamedTuple

from genray.intervals import summarize
from genray.studies._paired import LEVEL, beyond_p, equivalence_p, holm, sign_flip_p, two_sided_p
from genray.studies.base import Outcome

SIZES = SMALL, MIDDLE, LARGE = (19, 64, 128)
PRIMARY = "frechet"  # lower is better
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
Question = Literal["larger", "change", "little", "gan"]
Verdict = Literal["better", "worse", "little", "more", "undecided"]


class PairedTest(NamedTuple):
    """`first` less `second`, paired by seed: the same batches in the same order, and the same noise where the shapes
    agree."""

    question: Question
    first: tuple[str, int]  # model and hidden size
    second: tuple[str, int]
    differences: tuple[float, ...]
    mean: float
    ci95: float | None
    percent: float  # the mean, of the second's
    margins: tuple[float, ...] | None  # of the questions for little change, one a pair
    p: float
    flip_p: float
    holm_p: float
    verdict: Verdict

    @property
    def label(self) -> str:
        """`AAE: 64 less 19`, `AAE: 128 less 64, against the margin`, `GAN less VAE, h = 64`"""
        (model, size), (other, other_size) = self.first, self.second
        if model == other:
            beside = "" if self.margin is None else ", against the margin"
            return f"{MODELS[model].title}: {size} less {other_size}{beside}"
        return f"{MODELS[model].title} less {MODELS[other].title}, h = {size}"

    @property
    def margin(self) -> float | None:
        return None if self.margins is None else fmean(self.margins)


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


def _asked(scores: Scores) -> Iterator[tuple[Question, tuple[str, int], tuple[str, int]]]:
    models = [model for model in MODELS if any(model == there for there, _ in scores)]
    gans = [model for model in models if MODELS[model].kind == "GAN"]
    yield from (("larger", (model, MIDDLE), (model, SMALL)) for model in models)
    yield from (("change", (model, LARGE), (model, MIDDLE)) for model in models)
    yield from (("little", (model, LARGE), (model, MIDDLE)) for model in models)
    yield from (
        ("gan", (gan, size), (other, size)) for gan in gans for size in SIZES for other in models if other not in gans
    )


def _opened(
    question: Question, first: tuple[str, int], second: tuple[str, int], scores: Scores, floor: float
) -> PairedTest:
    margins, sides = None, [scores[first], scores[second]]
    if question == "little":
        small = scores[first[0], SMALL]
        seeds = sorted(set(small).intersection(*sides))
        margins = _margins([small[seed] for seed in seeds], floor)
        sides = [{seed: side[seed] for seed in seeds} for side in sides]
    differences = paired(*sides)
    if margins is None:
        p = two_sided_p(differences)
    else:  # one of the two is false, whatever the truth, so the smaller p is held against the level of one question
        p = min(equivalence_p(differences, margins), beyond_p(differences, margins))
    found = summarize(differences)
    percent = 100 * found["mean"] / fmean(sides[1][seed] for seed in sides[0].keys() & sides[1].keys())
    return PairedTest(
        question=question,
        first=first,
        second=second,
        differences=differences,
        mean=found["mean"],
        ci95=found["ci95"],
        percent=percent,
        margins=margins,
        p=p,
        flip_p=sign_flip_p(differences),
        holm_p=1.0,
        verdict="undecided",
    )


def _margins(small: Sequence[float], floor: float) -> tuple[float, ...]:
    """Of each seed; none is left where the mean is at the floor or below. The floor is taken as exact."""
    margins = tuple(MARGIN * (score - floor) for score in small)
    return margins if fmean(margins) > 0 else (0.0,) * len(margins)


def paired(first: Mapping[int, float], second: Mapping[int, float]) -> tuple[float, ...]:
    """Differences of the seeds that both have."""
    return tuple(first[seed] - second[seed] for seed in sorted(first.keys() & second.keys()))


def _decided(test: PairedTest) -> PairedTest:
    if test.holm_p >= LEVEL:
        return test
    if test.margin is None:
        return test._replace(verdict="better" if test.mean < 0 else "worse")
    return test._replace(verdict="little" if abs(test.mean) < test.margin else "more")
