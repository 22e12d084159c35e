"""Conditional bound, completions and accuracy of labels, on models whose values are known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from genray.data.spec import DataSpec, Split
from genray.extractors.base import FeatureSet
from genray.metrics import completion, conditional_accuracy, conditional_elbo
from genray.metrics.base import Context
from genray.nn.noise import Noise
from tests.metrics.fakes import Replay, SampleOnly, context

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (1_500, 1, 4, 4), np.uint8)  # more than one chunk
LABELS = RNG.integers(0, 10, 1_500)
NOTHING = np.zeros((len(IMAGES), 2))


def of_model(model: object, images: np.ndarray = IMAGES, **parts: object) -> Context:
    return context(NOTHING, NOTHING, split=Split(images, LABELS[: len(images)]), model=model, **parts)


def test_conditional_elbo_is_the_mean_over_the_whole_split_with_its_labels() -> None:
    expected = (IMAGES / 127.5 - 1).reshape(len(IMAGES), -1).sum(1).mean() + LABELS.mean()
    found = conditional_elbo.compute(of_model(Replay(IMAGES)))
    assert found == {"conditional_elbo": pytest.approx(expected, abs=1e-5)}


class Completer(SampleOnly):
    """Hides the right half; fills it with a value for each draw, from a list that all images share."""

    completes = True

    def __init__(self, values: np.ndarray) -> None:
        super().__init__(DataSpec(2, 4, 4, 0))
        self.values, self.calls = torch.tensor(values), 0

    def masks(self, n: int, noise: Noise) -> Tensor:
        return (torch.arange(4) < 2).expand(n, 1, 4, 4)

    def complete(self, images: Tensor, masks: Tensor, noise: Noise) -> Tensor:
        self.calls += 1
        value = 2 * self.values[(self.calls - 1) % len(self.values)].float() - 1
        return torch.where(masks, images, value)


def test_completion_scores_by_brute_force() -> None:
    """Over hidden values alone, channels included, pixels in [0, 1]."""
    images, values = RNG.integers(0, 256, (300, 2, 4, 4), np.uint8), RNG.random(completion.NUM_COMPLETIONS)
    hidden = images[:, :, :, 2:].reshape(300, -1) / 255
    errors = ((hidden[:, None] - values[None, :, None]) ** 2).mean(2)
    k = len(values)
    pairs = [(values[i] - values[j]) ** 2 for i in range(k) for j in range(k) if i != j]
    found = completion.compute(of_model(Completer(values), images))
    assert found["completion_error"] == pytest.approx(errors.mean(), rel=1e-4)
    assert found["completion_best"] == pytest.approx(errors.min(1).mean(), rel=1e-4)
    assert found["completion_diversity"] == pytest.approx(np.mean(pairs), rel=1e-4)


def test_draws_of_the_true_conditional_are_as_diverse_as_they_are_wrong() -> None:
    """Hidden pixels independent of the given ones: other images' are draws of p(x₂|x₁)."""
    found = completion.compute(of_model(Replay(IMAGES)))
    assert found["completion_diversity"] == pytest.approx(found["completion_error"], rel=0.02)
    assert found["completion_error"] == pytest.approx(2 * np.var(IMAGES / 255), rel=0.02)
    assert found["completion_best"] < found["completion_error"]


def test_a_model_that_always_answers_the_same_has_no_diversity() -> None:
    found = completion.compute(of_model(Completer(np.array([0.25])), IMAGES))
    assert found["completion_diversity"] == 0
    assert found["completion_best"] == pytest.approx(found["completion_error"])


class Labelled(SampleOnly):
    """Draws images whose value is the label, wrong by one in the first `wrong` of each call."""

    takes_labels = True

    def __init__(self, wrong: int) -> None:
        super().__init__(DataSpec(1, 4, 4, 10))
        self.wrong = wrong

    def sample(self, n: int, noise: Noise, *, label: Tensor | None = None) -> Tensor:
        assert label is not None
        shown = torch.where(torch.arange(n) < self.wrong, (label + 1) % 10, label)
        return (shown / 10)[:, None, None, None].expand(n, 1, 4, 4)


class ReadsValue:
    """Sure of the class that a picture's value says."""

    def features(self, images: Tensor, device: object = "cpu") -> FeatureSet:
        label = (images[:, 0, 0, 0] * 10).round().long().numpy()
        return FeatureSet(np.zeros((len(images), 2), np.float32), np.eye(10, dtype=np.float32)[label])


def test_accuracy_counts_samples_of_the_label_that_was_asked_for() -> None:
    found = conditional_accuracy.compute(of_model(Labelled(wrong=30), extractor=ReadsValue()))
    assert found == {"conditional_accuracy": pytest.approx(1 - 2 * 30 / 1_500)}  # in two chunks


def test_the_floor_of_accuracy_is_that_of_real_images() -> None:
    seen = LABELS.copy()
    seen[:150] = (seen[:150] + 1) % 10
    real = FeatureSet(NOTHING.astype(np.float32), np.eye(10, dtype=np.float32)[seen])
    given = context(NOTHING, NOTHING, split=Split(IMAGES, LABELS), extractor=ReadsValue())
    assert conditional_accuracy.compute(replace(given, real=real)) == {"conditional_accuracy": pytest.approx(0.9)}


@pytest.mark.parametrize("metric", [conditional_elbo, completion, conditional_accuracy])
def test_models_without_the_means_have_no_value(metric) -> None:
    assert metric.compute(of_model(SampleOnly(DataSpec(1, 4, 4, 0)))) == {}


def test_without_labels_there_is_no_accuracy() -> None:
    for model in (None, Labelled(0)):
        assert conditional_accuracy.compute(context(NOTHING, NOTHING, split=Split(IMAGES), model=model)) == {}
