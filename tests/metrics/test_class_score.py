import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torchmetrics.image.inception import InceptionScore

from genray.errors import UserError
from genray.metrics import class_entropy
from genray.metrics.base import Context
from genray.metrics.class_score import compute
from tests.metrics.fakes import context, features


def of(probabilities: np.ndarray) -> Context:
    x = np.zeros((len(probabilities), 2))
    return replace(context(x, x), fake=features(x, probabilities))


@pytest.mark.parametrize("sharpness", [0.1, 1.0, 5.0])
def test_torchmetrics_inception_score_gives_the_same(sharpness: float) -> None:
    logits = torch.randn(500, 10, generator=torch.Generator().manual_seed(0)) * sharpness
    with warnings.catch_warnings(action="ignore"):  # of its memory, and of the deviation over one split
        theirs = InceptionScore(feature=nn.Identity(), splits=1)
        theirs.update(logits)
        expected = float(theirs.compute()[0])
    assert compute(of(logits.softmax(1).numpy()))["class_score"] == pytest.approx(expected, rel=1e-5)


def test_the_mean_divergence_by_a_loop() -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(5), 200).astype(np.float32).astype(float)
    divergences = [sum(q * np.log(q / m) for q, m in zip(row, p.mean(0), strict=True)) for row in p]
    assert compute(of(p))["class_score"] == pytest.approx(np.exp(np.mean(divergences)))


def test_its_ends_are_one_and_the_number_of_classes() -> None:
    sure = np.eye(10)[np.arange(100) % 10]
    assert compute(of(sure))["class_score"] == pytest.approx(10)
    assert compute(of(sure[:1].repeat(100, 0)))["class_score"] == pytest.approx(1)  # all one class
    assert compute(of(np.full((100, 10), 0.1)))["class_score"] == pytest.approx(1)  # no class


def test_of_sure_predictions_it_is_the_class_entropy() -> None:
    sure = of(np.eye(10)[np.random.default_rng(0).integers(0, 4, 300)])
    assert np.log(compute(sure)["class_score"]) == pytest.approx(class_entropy.compute(sure)["class_entropy"])


def test_one_class_is_refused() -> None:
    with pytest.raises(UserError, match="class_score needs at least 2 classes, got 1; take a dataset with more"):
        compute(of(np.ones((20, 1))))
