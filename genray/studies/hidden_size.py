"""Is 64 better than 19, does 128 change little, is the GAN better than every VAE? Every model at three sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PositiveInt

from genray.data import datasets
from genray.errors import nearest
from genray.report.answer import Answer
from genray.report.words import counted
from genray.strict import Strict
from genray.studies import _hidden_figures as figures
from genray.studies import _hidden_tables as tables
from genray.studies import _hidden_words as words
from genray.studies._hidden_tests import MODELS, PRIMARY, SIZES, paired_tests, scores_of
from genray.studies._hidden_training import real_images, trained
from genray.studies._mnist import require_dataset, runs_of
from genray.studies._pieces import packs_of
from genray.studies.base import Budget, Outcome, Part

QUESTION = "Is a hidden size of 64 better than 19, does 128 change little, and is the GAN better than every VAE?"

FLOOR = "floor"  # the part that scores real images
GPU = 0.25  # networks this small leave most of one idle


def _known(dataset: str) -> str:
    if dataset not in datasets.names():
        raise ValueError(f"{dataset!r} is not known{nearest(dataset, datasets.names())}")
    return dataset


def _compared(models: tuple[str, ...]) -> tuple[str, ...]:
    for name in models:
        if name not in MODELS:
            raise ValueError(f"{name!r} is not compared here{nearest(name, MODELS)}")
    return tuple(name for name in MODELS if name in models)


class HiddenSizeWork(Strict):
    """What a budget pays for; any of it can be changed by `--set`."""

    dataset: Annotated[str, AfterValidator(_known)]
    models: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_compared)]
    seeds: PositiveInt  # how many, from 0 on
    epochs: PositiveInt  # the same for all
    batch_size: PositiveInt = 64
    pack: PositiveInt = 1  # seeds of a part, which a GPU trains as one


WORK: dict[Budget, HiddenSizeWork] = {  # `full` is search_spaces/hidden_size.yaml, without its search
    "quick": HiddenSizeWork(dataset="digits", models=tuple(MODELS), seeds=5, epochs=200),
    "full": HiddenSizeWork(dataset="mnist", models=("vae", "gan", "vae_gan", "aae"), seeds=5, epochs=300, pack=5),
}


class HiddenSize:
    """The study, with some of its budget's work changed."""

    QUESTION = QUESTION

    def __init__(self, overrides: Mapping[str, Any]) -> None:
        self._overrides = overrides

    def work(self, budget: Budget) -> HiddenSizeWork:
        return HiddenSizeWork.parse(WORK[budget].plain() | dict(self._overrides), "--set")

    def parts(self, budget: Budget) -> Sequence[Part]:
        """Seeds by seeds: what is done first can be compared first."""
        work = self.work(budget)
        require_dataset(work.dataset, "hidden_size")
        shared = {"dataset": work.dataset, "epochs": work.epochs, "batch_size": work.batch_size}

        def training(model: str, hidden: int, seeds: list[int]) -> Part:
            setting = {"model": model, "hidden": hidden, "seeds": seeds}
            return Part(f"{model}-{hidden}-{seeds[0]}", trained, setting | shared, gpu=GPU)

        packs = packs_of(work.seeds, work.pack)
        trainings = [training(m, hidden, seeds) for seeds in packs for m in work.models for hidden in SIZES]
        return [Part(FLOOR, real_images, {"dataset": work.dataset}), *trainings]

    def answer(self, outcomes: Mapping[str, Outcome], budget: Budget) -> Answer:
        real = outcomes[FLOOR]
        runs = runs_of({name: outcome for name, outcome in outcomes.items() if name != FLOOR})
        work, tests = self.work(budget), paired_tests(scores_of(runs), real["floor"][PRIMARY]["mean"])
        full, seconds = WORK["full"].plain(), tables.timed(work.plain(), runs)
        conditions = f"{work.dataset}, test split, after {counted(work.epochs, 'epoch')}"
        kept = [{key: value for key, value in run.items() if key != "samples"} for run in runs]
        return Answer(
            summary=words.summary(tests, conditions, words.cut_of(work.plain(), full)),
            checks=words.checks(tests),
            tables=[
                tables.scores(runs, real, seconds=seconds),
                tables.answers(tests),
                *tables.other_scores(runs),
                tables.protocol(work.plain(), full, runs, real),
            ],
            figures=figures.draw(runs, real, tests, seconds=seconds),
            data={"work": work.plain(), "real": dict(real), "runs": kept, "tests": [test._asdict() for test in tests]},
        )


def changed(overrides: Mapping[str, Any]) -> HiddenSize:
    """Told by `--set`: dataset, models, seeds, epochs, batch_size, pack."""
    return HiddenSize(overrides)


def parts(budget: Budget) -> Sequence[Part]:
    return HiddenSize({}).parts(budget)


def answer(outcomes: Mapping[str, Outcome], budget: Budget) -> Answer:
    return HiddenSize({}).answer(outcomes, budget)
