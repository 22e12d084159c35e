"""That a trainer ends with its run: weights, moments, images and captured steps are not there when the next begins."""

import gc
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from genray.data.spec import Dataset
from genray.runs import create_run
from genray.train import loop, together
from genray.train.distributed import Distributed
from genray.train.trainer import Trainer, resumed
from tests.train.common import experiment

SINGLE = Distributed.single()
Trained = Callable[[Dataset, Path], object]


def train_alone(data: Dataset, path: Path) -> object:
    asked = experiment()
    run = create_run(path / "run", asked)
    return loop.train(asked, data.training_data, run, judge=None, report=lambda row: True, distributed=SINGLE)


def train_two_together(data: Dataset, path: Path) -> object:
    asked = [experiment(seed=seed) for seed in range(2)]
    parts = [
        together.Part(each, create_run(path / str(each.seed), each), judge=None, report=lambda row: True)
        for each in asked
    ]
    return together.train_pack(parts, data.training_data, distributed=SINGLE)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[weakref.ref[Trainer]]]:
    """Trainers that were made, while no cycle of references is looked for."""
    found: list[weakref.ref[Trainer]] = []

    def noted(*arguments: object) -> Trainer:
        trainer = resumed(*arguments)
        found.append(weakref.ref(trainer))
        return trainer

    for module in (loop, together):
        monkeypatch.setattr(module, "resumed", noted)
    gc.collect()
    gc.disable()
    yield found
    gc.enable()


@pytest.mark.parametrize("train", [train_alone, train_two_together])
def test_no_trainer_is_left_of_a_run(
    train: Trained, made: list[weakref.ref[Trainer]], digits: Dataset, tmp_path: Path
) -> None:
    train(digits, tmp_path)
    assert made
    assert [trainer() for trainer in made] == [None] * len(made)
