"""Training, trials of a sweep, and all that is shown of them work without a test split; evaluation alone reads it."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genray import single
from genray.cluster import tuner
from genray.cluster.place import SameFolder
from genray.cluster.work import Final, Means, Shared, Task, do
from genray.config import Experiment
from genray.data import datasets
from genray.data.spec import Dataset, Split
from genray.train.distributed import Distributed


class Read(Exception):
    """Somebody looked at the test split."""


class Guarded(Dataset):
    """A dataset that does not give its test split away."""

    armed = False

    def __getattribute__(self, name: str) -> Any:
        if name == "test" and Guarded.armed:
            raise Read
        return super().__getattribute__(name)


@pytest.fixture
def guarded(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Guarded(digits.name, digits.train, digits.validation, digits.test, digits.class_names)
    monkeypatch.setattr(datasets, "load", lambda name, image_size=None: data)
    monkeypatch.setattr(Guarded, "armed", True)


def test_training_reads_no_test_split_and_evaluation_does(guarded: None, tmp_path: Path) -> None:
    asked = {"model": {"name": "vae", "hidden": 8}, "epochs": 2, "evaluate_every": 1, "sampled_from": ["prior", "gmm"]}
    run = single.train(Experiment.parse(asked), tmp_path / "run")
    assert run.history[-1]["epoch"] == 2
    assert "validation/frechet" in run.history[-1]
    with pytest.raises(Read):
        single.evaluate(run.path)
    assert run.result is None


def test_what_training_is_given_holds_no_test_image(digits: Dataset) -> None:
    held = [value for value in vars(digits.training_data).values() if isinstance(value, Split)]
    images = {image.tobytes() for split in held for image in split.images}
    assert len(images) > 1_400
    assert not any(image.tobytes() in images for image in digits.test.images)


TRIAL = Experiment.parse(
    {"model": {"name": "vae", "hidden": 8}, "epochs": 2, "evaluate_every": 1, "metrics": ["frechet", "memorization"]}
)


class Told:
    def say(self, text: str) -> None: ...


@pytest.fixture
def handed_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Dataset], tuple[Shared, Final]]:
    """What a sweep puts into the object store for its trials, and for its finalists, without a Ray."""
    monkeypatch.setattr(tuner.ray, "put", lambda value: value)

    def give(data: Dataset) -> tuple[Shared, Final]:
        given = tuner._give(TRIAL, data, SameFolder(tmp_path), None, Told())
        return given.shared, given.final

    return give


def test_what_a_sweep_hands_to_its_trials_holds_no_test_image(
    digits: Dataset, handed_out: Callable[[Dataset], tuple[Shared, Final]]
) -> None:
    """Nor features of one: as the bytes that go to their processes."""
    shared, final = handed_out(digits)
    trials, finalists = (pickle.dumps(each, protocol=5) for each in (shared, final))
    for held, split, features in (
        (trials, digits.validation, shared.judge.real.features),
        (finalists, digits.test, final.judge.real.features),
    ):
        assert all(image.tobytes() in held for image in split.images)  # that they would be found
        assert all(row.tobytes() in held for row in features)
    assert not any(image.tobytes() in trials for image in digits.test.images)
    assert not any(row.tobytes() in trials for row in final.judge.real.features)


def test_a_trial_reads_no_test_split_and_a_finalist_does(
    digits: Dataset, handed_out: Callable[[Dataset], tuple[Shared, Final]], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, _ = handed_out(Guarded(digits.name, digits.train, digits.validation, digits.test, digits.class_names))
    monkeypatch.setattr(Guarded, "armed", True)

    def final() -> Final:
        raise Read

    means, rows = Means(shared, final, Distributed.single()), []
    do(Task("vae/trial_0", TRIAL, False), means, lambda row: not rows.append(row))
    assert "validation/frechet" in rows[-1]
    with pytest.raises(Read):
        do(Task("vae/finalist_0", TRIAL, True), means, lambda row: True)


def test_a_second_reading_is_told_at_once(digits: Dataset, tmp_path: Path) -> None:
    from genray import console

    asked = {"model": {"name": "vae", "hidden": 8}, "epochs": 1, "metrics": ["class_entropy"]}
    run = single.train(Experiment.parse(asked), tmp_path / "run")
    assert "was read" not in console.result(run.path, single.evaluate(run.path))
    assert "the test split was read 2 times for this run" in console.result(run.path, single.evaluate(run.path))
