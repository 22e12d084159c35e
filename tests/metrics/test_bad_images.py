"""Whatever the images are, each metric gives finite values, or one line that names it and what to do."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from genray import metrics
from genray.data.spec import Split
from genray.errors import UserError
from genray.evaluation.attempt import compute_each
from genray.evaluation.judge import check_sizes
from genray.extractors.base import FeatureSet
from genray.metrics import ais
from genray.metrics.base import Context
from tests.metrics.fakes import Replay, context, features

N, K = 80, 10
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (N, 1, 8, 8), np.uint8)
LABELS = np.arange(N) % K
X, P = RANDOM.normal(size=(N, 32)), RANDOM.dirichlet(np.ones(K), N)


class Reads:
    """In place of an extractor."""

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes

    def features(self, images: torch.Tensor, device: object = "cpu") -> FeatureSet:
        return features(np.zeros((len(images), 32)), np.full((len(images), self.num_classes), 1 / self.num_classes))


def given(images: np.ndarray, x: np.ndarray, num_classes: int = K) -> Context:
    split = Split(images, np.minimum(LABELS, num_classes - 1))
    p = P[:, :num_classes] / P[:, :num_classes].sum(1, keepdims=True)
    whole = context(x, x, split=split, samples=Split(images), model=Replay(images), extractor=Reads(num_classes))
    return replace(whole, real=features(x, p), fake=features(x, p), train=features(x), tuning=split)


CASES = {
    "usual": given(IMAGES, X),
    "features without variance": given(IMAGES, np.ones_like(X)),
    "half of the features without variance": given(IMAGES, X * (np.arange(32) < 16)),
    "all images one": given(IMAGES[:1].repeat(N, 0), X[:1].repeat(N, 0)),
    "white images": given(np.full_like(IMAGES, 255), X[:1].repeat(N, 0)),
    "one class": given(IMAGES, X, num_classes=1),
    "images alike, their features but for rounding": given(
        IMAGES[:1].repeat(N, 0), X[:1].repeat(N, 0) * (1 + 1e-6 * RANDOM.normal(size=X.shape))
    ),
    "images alike, their features apart": given(IMAGES[:1].repeat(N, 0), X),  # rounding, divided by a deviation of 0
    "samples all one": replace(
        given(IMAGES, X), fake=features(X[:1].repeat(N, 0), P), samples=Split(IMAGES[:1].repeat(N, 0))
    ),
    "two pixels": given(IMAGES[:, :, :1, :2], X),
}
ALIKE = "needs real images that differ, got 80 without variance in any of 32 features; take a dataset"
REFUSED = {
    **{
        (case, name): f"{name} {ALIKE}"
        for name in ("fd_infinity", "frechet", "kernel", "memorization", "prdc")
        for case in CASES
        if case in ("features without variance", "all images one", "white images") or case.startswith("images alike")
    },
    ("one class", "class_score"): "class_score needs at least 2 classes, got 1; take",
    ("one class", "transfer_accuracy"): "transfer_accuracy needs at least 2 classes, got 1; take",
    ("two pixels", "ms_ssim"): "ms_ssim needs images of at least 3 pixels a side, got 1; take",
}


@pytest.fixture(autouse=True)
def short_annealing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ais, "NUM_TEMPERATURES", 10)


@pytest.mark.parametrize("name", metrics.names())
@pytest.mark.parametrize("case", CASES)
def test_finite_values_or_one_line(case: str, name: str) -> None:
    if expected := REFUSED.get((case, name)):
        with pytest.raises(UserError, match=expected) as raised:
            compute_each((name,), CASES[case])
        assert "\n" not in str(raised.value)
    else:
        assert compute_each((name,), CASES[case]).keys() <= metrics.load(name).SCORES.keys()


@pytest.mark.parametrize("name", metrics.names())
def test_so_few_images_that_it_has_no_value_are_refused_by_name(name: str) -> None:
    """k larger than n among them."""
    needed = metrics.load(name).MIN_IMAGES
    check_sizes((name,), num_real=needed, num_samples=needed)
    with pytest.raises(UserError, match=f"{name} needs at least {needed} samples, got {needed - 1}; raise num_samples"):
        check_sizes((name,), num_real=needed, num_samples=needed - 1)
    with pytest.raises(UserError, match=f"{name} needs at least {needed} real images, got {needed - 1}; take a"):
        check_sizes((name,), num_real=needed - 1, num_samples=needed)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", [name for name in metrics.names() if metrics.judges_samples(name)])
def test_features_that_are_not_finite_are_no_score(name: str, value: float) -> None:
    bad = X.copy()
    bad[:3] = value
    rule = f"{name} needs finite features, got NaN or infinity in those of 3 of 80 real images; look at"
    with pytest.raises(UserError, match=rule):
        compute_each((name,), replace(CASES["usual"], real=features(bad, P)))
