"""Which checkpoint is kept as the best."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import genray
from genray import checkpoint
from genray.data.spec import Dataset
from genray.errors import UserError
from genray.runs import Run, create_run
from genray.train.distributed import Distributed
from genray.train.loop import train
from tests.train.common import experiment


class Scored:
    """A judge that gives each evaluation, the untrained model's first, what stands in a list."""

    def __init__(self, key: str, values: Sequence[float]) -> None:
        self._key, self._values = key, iter(values)

    def score(self, model: object, **given: object) -> dict[str, float]:
        return {"class_entropy": 1.0, self._key: next(self._values)}


def trained(path: Path, data: Dataset, judge: Any, last: int = 99, every: int = 1, **changes: object) -> Run:
    asked = experiment(epochs=6, evaluate_every=1, checkpoint_every=every, **changes)
    run = create_run(path, asked, resume=True)
    one = Distributed.single()
    train(asked, data.training_data, run, judge=judge, report=lambda row: row["epoch"] < last, distributed=one)
    return run


def epoch_of(path: Path) -> int:
    return int(checkpoint.read(path)[0]["epoch"])


@pytest.mark.parametrize(
    ("metric", "key", "values", "best"),
    [
        ("frechet", "frechet", [0, 5, 3, 4, 3, 6, 7], 2),  # the untrained model has no checkpoint; of equals the first
        ("prdc", "density", [9, 1, 2, 3, 8, 4, 4], 4),
        ("frechet", "frechet", [9, 8, 7, 6, 5, 4, 3], 6),
    ],
)
def test_the_best_stays_beside_the_last(
    metric: str, key: str, values: list[float], best: int, digits: Dataset, tmp_path: Path
) -> None:
    run = trained(tmp_path / "run", digits, Scored(key, values), metrics=["class_entropy", metric])
    assert epoch_of(run.best_checkpoint_path) == best
    assert epoch_of(run.checkpoint_path) == 6
    assert sorted(path.name for path in run.checkpoint_path.parent.iterdir()) == ["best.pt", "previous.pt", "state.pt"]


def test_only_checkpoints_count(digits: Dataset, tmp_path: Path) -> None:
    judge = Scored("frechet", [9, 1, 7, 2, 5, 3, 6])
    run = trained(tmp_path / "run", digits, judge, every=2, metrics=["frechet"])
    assert epoch_of(run.best_checkpoint_path) == 4


def test_a_resumed_run_remembers_its_best(digits: Dataset, tmp_path: Path) -> None:
    trained(tmp_path / "run", digits, Scored("frechet", [9, 5, 3, 4]), last=3, metrics=["frechet"])
    run = trained(tmp_path / "run", digits, Scored("frechet", [3.5, 6, 7]), metrics=["frechet"])
    assert epoch_of(run.best_checkpoint_path) == 2


def test_it_is_what_is_loaded_and_sampled(digits: Dataset, tmp_path: Path) -> None:
    run = trained(tmp_path / "run", digits, Scored("frechet", [9, 5, 3, 4, 5, 5, 5]), metrics=["frechet"])
    half = trained(tmp_path / "half", digits, Scored("frechet", [9, 5, 3]), last=2, metrics=["frechet"])
    for mine, other in zip(
        genray.load(run.path, best=True).parameters(), genray.load(half.path).parameters(), strict=True
    ):
        assert torch.equal(mine, other)
    best, last = genray.sample(run.path, 4, best=True), genray.sample(run.path, 4)
    assert (best == genray.sample(half.path, 4)).all()
    assert (best != last).any()


def test_a_run_that_was_not_scored_has_none(digits: Dataset, tmp_path: Path) -> None:
    run = trained(tmp_path / "run", digits, None)
    with pytest.raises(UserError, match=r"holds no best checkpoint.*; leave out --best"):
        genray.load(run.path, best=True)
