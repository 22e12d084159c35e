"""Trained on samples, tested on real images, with models that know the classes, mix them up, or have dropped some."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from genray.data.spec import Dataset, DataSpec, Split
from genray.errors import UserError
from genray.extractors import network
from genray.metrics.base import Context
from genray.metrics.transfer_accuracy import compute
from genray.nn.noise import Noise
from tests.metrics.fakes import Replay, SampleOnly, context, features

NOTHING = np.zeros((300, 1))


@pytest.fixture(autouse=True)
def _fewer_steps(monkeypatch) -> None:
    """800 digits are learnt in fewer."""
    monkeypatch.setattr(network, "MIN_STEPS", 80)


class ByLabel(Replay):
    """Training images of the label that was asked for; `drawn` changes the label first."""

    def __init__(self, split: Split, drawn: np.ndarray) -> None:
        super().__init__(split.images)
        self.order = [np.flatnonzero(split.labels == label) for label in range(10)]
        self.drawn, self.asked = drawn, []

    def sample(self, n: int, noise: Noise, *, label: Tensor | None = None) -> Tensor:
        assert label is not None
        self.asked += label.tolist()
        random = np.random.default_rng(len(self.asked))
        return self.images[[random.choice(self.order[self.drawn[k]]) for k in label.tolist()]]


def given(digits: Dataset, model: object, **parts: object) -> Context:
    return context(NOTHING, np.zeros((800, 1)), split=digits.test, model=model, **parts)


def of(digits: Dataset, drawn: np.ndarray) -> float:
    return compute(given(digits, ByLabel(digits.train, drawn)))["transfer_accuracy"]


def test_a_model_that_knows_its_labels_teaches_them_and_one_that_mixes_them_up_does_not(digits: Dataset) -> None:
    assert of(digits, np.arange(10)) > 0.9
    assert of(digits, (np.arange(10) + 1) % 10) < 0.05  # each digit is taken for the next


def test_a_dropped_class_is_not_learnt(digits: Dataset) -> None:
    """Its label shows the digit before: all of its real images are mistaken, and those of the other are divided."""
    drawn = np.arange(10)
    drawn[4] = 3
    missing = np.mean(digits.test.labels == 4)
    assert 1 - 2.5 * missing < of(digits, drawn) < 1 - missing + 0.01


@pytest.mark.parametrize("count", [90, 360, 800])
def test_labels_are_spread_over_those_of_real_images_also_where_these_stand_class_by_class(
    digits: Dataset, count: int
) -> None:
    model = ByLabel(digits.train, np.arange(10))
    order = np.argsort(digits.test.labels, kind="stable")
    split = Split(digits.test.images[order], digits.test.labels[order])
    compute(context(NOTHING, np.zeros((count, 1)), split=split, model=model))
    shares = np.bincount(split.labels) / len(split)
    assert np.bincount(model.asked) == pytest.approx(count * shares, abs=1 + count / len(split))


def test_the_floor_learns_from_real_images(digits: Dataset) -> None:
    found = compute(given(digits, None, samples=Split(digits.train.images[:800], digits.train.labels[:800])))
    assert found["transfer_accuracy"] > 0.9
    noise = Split(digits.train.images[:800], np.random.default_rng(0).permutation(digits.train.labels[:800]))
    assert compute(given(digits, None, samples=noise))["transfer_accuracy"] < 0.3


def test_it_can_be_repeated_and_leaves_the_process_as_it_was(digits: Dataset) -> None:
    model, state = ByLabel(digits.train, np.arange(10)), torch.get_rng_state()
    with torch.no_grad():  # as the judge has it
        first = compute(given(digits, model))
        assert not torch.is_grad_enabled()
    assert compute(given(digits, ByLabel(digits.train, np.arange(10)))) == first
    assert torch.equal(state, torch.get_rng_state())


def test_without_labels_there_is_none(digits: Dataset) -> None:
    assert compute(given(digits, SampleOnly(DataSpec(1, 8, 8, 10)))) == {}
    unlabelled = replace(given(digits, ByLabel(digits.train, np.arange(10))), split=Split(digits.test.images))
    assert compute(unlabelled) == {}


def test_one_class_is_refused(digits: Dataset) -> None:
    one = features(NOTHING, np.ones((300, 1)))
    with pytest.raises(UserError, match="transfer_accuracy needs at least 2 classes, got 1; take a dataset with more"):
        compute(replace(given(digits, ByLabel(digits.train, np.arange(10))), real=one))
