"""Class entropy, ELBO and reconstruction error, on models whose values are known."""

from dataclasses import replace

import numpy as np
import pytest

from genray.data.spec import DataSpec, Split
from genray.metrics import class_entropy, elbo, reconstruction
from genray.metrics.base import Context
from tests.metrics.fakes import Replay, SampleOnly, context, features

IMAGES = np.random.default_rng(0).integers(0, 256, (1_500, 1, 4, 4), np.uint8)  # more than one chunk


def of_model(model: object) -> Context:
    x = np.zeros((len(IMAGES), 2))
    return context(x, x, split=Split(IMAGES), model=model)


def entropy(probabilities: np.ndarray) -> float:
    x = np.zeros((len(probabilities), 2))
    fake = features(x, probabilities)
    return class_entropy.compute(replace(context(x, x), fake=fake))["class_entropy"]


def test_entropy_is_that_of_the_mean_distribution() -> None:
    sure = np.eye(10)[np.arange(100) % 10]
    assert entropy(sure) == pytest.approx(np.log(10))
    assert entropy(np.full((100, 10), 0.1)) == pytest.approx(np.log(10))
    assert entropy(sure[np.arange(100) % 2]) == pytest.approx(np.log(2))
    assert entropy(sure[:1]) == pytest.approx(0)


def test_reconstruction_error_has_pixels_between_0_and_1() -> None:
    expected = np.mean((IMAGES / 255 - 0.75) ** 2)
    assert reconstruction.compute(of_model(Replay(IMAGES, value=0.5)))["reconstruction"] == pytest.approx(expected)


def test_elbo_is_the_mean_over_the_whole_split() -> None:
    expected = (IMAGES / 127.5 - 1).reshape(len(IMAGES), -1).sum(1).mean()
    assert elbo.compute(of_model(Replay(IMAGES)))["elbo"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("metric", [elbo, reconstruction])
def test_models_without_the_means_have_no_value(metric) -> None:
    assert metric.compute(of_model(SampleOnly(DataSpec(1, 4, 4, 0)))) == {}
    assert metric.compute(of_model(None)) == {}
