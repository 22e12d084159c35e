"""Training, and all that is shown of it, work without a test split; evaluation alone reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genray import single
from genray.config import Experiment
from genray.data import datasets
from genray.data.spec import Dataset, Split


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


def test_a_second_reading_is_told_at_once(digits: Dataset, tmp_path: Path) -> None:
    from genray import console

    asked = {"model": {"name": "vae", "hidden": 8}, "epochs": 1, "metrics": ["class_entropy"]}
    run = single.train(Experiment.parse(asked), tmp_path / "run")
    assert "was read" not in console.result(run.path, single.evaluate(run.path))
    assert "the test split was read 2 times for this run" in console.result(run.path, single.evaluate(run.path))
