"""Joint bounds and coherence, on models whose every value is known."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from genray.data.spec import DataSpec, Split
from genray.extractors.base import FeatureSet
from genray.metrics import coherence, joint_elbo
from genray.metrics.base import Context
from genray.models.base import Batch
from genray.nn.noise import Noise
from tests.metrics.fakes import SampleOnly, context, features

N = 1_500  # more than one chunk
LABELS = np.arange(N) % 10
# an image says by its brightness of which class it is
IMAGES = np.broadcast_to((LABELS * 25)[:, None, None, None], (N, 1, 4, 4)).astype(np.uint8)


class Bright:
    """Sees of which class an image is, by its brightness."""

    def features(self, images: Tensor | np.ndarray, device: torch.device | str = "cpu") -> FeatureSet:
        classes = ((torch.as_tensor(images).float() + 1) * 127.5 / 25).round().long()[:, 0, 0, 0]
        return features(np.zeros((len(images), 2)), np.eye(10)[classes.numpy()])


class Pairs(SampleOnly):
    """The label and the image. One label of three is lost on the way to the image, none on the way back."""

    each_shows_class = True

    def __init__(self) -> None:
        super().__init__(DataSpec(1, 4, 4, 10))

    def pair(self, batch: Batch, noise: Noise) -> tuple[Tensor, Tensor]:
        return torch.eye(10)[batch["label"]], batch["image"]

    def cross(self, x: Tensor, noise: Noise, *, given: int) -> Tensor:
        if given == 0:
            classes = x.argmax(1)
            classes = torch.where(torch.arange(len(x)) % 3 == 0, (classes + 1) % 10, classes)
            return (classes * 25 / 127.5 - 1)[:, None, None, None].expand(-1, 1, 4, 4)
        return torch.eye(10)[((x[:, 0, 0, 0] + 1) * 127.5 / 25).round().long()]

    def draw_pair(self, n: int, noise: Noise) -> tuple[Tensor, Tensor]:
        classes = torch.arange(n) % 10
        half = torch.arange(n) % 2 == 0
        return torch.eye(10)[classes], self.cross(torch.eye(10)[classes], noise, given=0).where(
            half[:, None, None, None], (classes * 25 / 127.5 - 1)[:, None, None, None]
        )

    def judged(self, pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return pair

    def joint_elbo_nats(self, batch: Batch, noise: Noise) -> Tensor:
        return batch["label"].double()

    def conditional_elbo_nats(self, batch: Batch, noise: Noise, given: int = 0) -> Tensor:
        return batch["label"].double() + 10 * (given + 1)

    def log_likelihoods_nats(self, batch: Batch, noise: Noise, num_draws: int) -> tuple[Tensor, Tensor]:
        assert num_draws == 100
        return batch["label"].double() + 100, batch["label"].double() + 200


def of_model(model: object, labels: np.ndarray | None = LABELS) -> Context:
    x = np.zeros((N, 2))
    return context(x, x, split=Split(IMAGES, labels), model=model, extractor=Bright())


def test_coherence_counts_views_of_one_class() -> None:
    values = coherence.compute(of_model(Pairs()))
    lost = sum(i % 3 == 0 for start in (0, 1_000) for i in range(min(1_000, N - start))) / N
    assert values["cross_coherence_1_to_2"] == pytest.approx(1 - lost)
    assert values["cross_coherence_2_to_1"] == 1
    both = sum(i % 6 == 0 for start in (0, 1_000) for i in range(min(1_000, N - start))) / N
    assert values["joint_coherence"] == pytest.approx(1 - both)


def test_where_a_view_alone_shows_no_class_there_is_no_joint_coherence() -> None:
    model = Pairs()
    model.each_shows_class = False
    assert coherence.compute(of_model(model)).keys() == {"cross_coherence_1_to_2", "cross_coherence_2_to_1"}


def test_the_floor_is_how_often_the_classifier_is_right() -> None:
    probabilities = np.eye(10)[np.where(np.arange(N) < 300, (LABELS + 1) % 10, LABELS)]
    x = np.zeros((N, 2))
    given = context(x, x, split=Split(IMAGES, LABELS), extractor=Bright())
    values = coherence.compute(replace(given, real=features(x, probabilities)))
    assert values == dict.fromkeys(coherence.SCORES, pytest.approx(0.8))


def test_joint_bounds_are_means_over_the_split() -> None:
    values = joint_elbo.compute(of_model(Pairs()))
    weighted = LABELS[np.linspace(0, N - 1, 1_000, dtype=int)].mean()
    mean = LABELS.mean()
    expected = [mean, mean + 10, mean + 20, weighted + 100, weighted + 200]
    assert values == dict(zip(joint_elbo.SCORES, map(pytest.approx, expected), strict=True))
    assert all(map(math.isfinite, values.values()))


@pytest.mark.parametrize("metric", [coherence, joint_elbo])
def test_models_of_one_view_and_images_without_labels_have_no_value(metric) -> None:
    assert metric.compute(of_model(SampleOnly(DataSpec(1, 4, 4, 10)))) == {}
    assert coherence.compute(of_model(Pairs(), labels=None)) == {}
