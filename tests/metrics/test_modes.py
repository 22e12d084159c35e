"""Modes covered and their divergence, against brute force, SciPy and closed forms; and the extractor of planes."""

import logging
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import entropy

from genray.data import datasets
from genray.data.spec import Dataset, Split
from genray.errors import UserError
from genray.evaluation.floor import floor
from genray.evaluation.judge import make_judge
from genray.extractors.classifier import Classifier
from genray.extractors.planes import on_planes
from genray.extractors.trained import extractor_for
from genray.metrics import modes
from genray.metrics.base import Context
from tests.metrics.fakes import context, features


def of(seen: np.ndarray, labels: np.ndarray, num_modes: int) -> dict[str, float]:
    """Samples that are taken for `seen`, against real images of `labels`."""
    given = context(np.zeros((len(labels), 1)), np.zeros((len(seen), 1)))
    fake = features(np.zeros((len(seen), 1)), np.eye(num_modes)[seen])
    split = Split(np.zeros((len(labels), 1, 8, 8), np.uint8), labels)
    return modes.compute(Context(**(vars(given) | {"fake": fake, "split": split})))


def test_against_brute_force_and_scipy() -> None:
    random = np.random.default_rng(0)
    seen, labels = random.integers(3, 20, 50) ** 2 % 23, random.integers(0, 23, 400)
    expected = [1 + sum(label == k for label in labels) for k in range(23)]
    found = of(seen, labels, 23)
    assert found["modes"] == len(set(seen.tolist()))
    assert found["modes_kl"] == pytest.approx(entropy([sum(s == k for s in seen) for k in range(23)], expected))


def test_half_of_equal_modes_is_ln_2() -> None:
    labels = np.arange(1_000).repeat(4)
    assert of(np.arange(500).repeat(3), labels, 1_000) == {"modes": 500.0, "modes_kl": pytest.approx(np.log(2))}
    assert of(np.zeros(1_000, int), labels, 1_000) == {"modes": 1.0, "modes_kl": pytest.approx(np.log(1_000))}
    assert of(labels, labels, 1_000) == {"modes": 1_000.0, "modes_kl": pytest.approx(0, abs=1e-12)}


def test_modes_of_few_draws_are_those_of_a_simulation() -> None:
    p, random = np.arange(1, 41) / 820, np.random.default_rng(1)
    covered = [len(np.unique(random.choice(40, 60, p=p))) for _ in range(4_000)]
    assert modes.expected_modes(p, 60) == pytest.approx(np.mean(covered), abs=4 * np.std(covered) / 4_000**0.5)


def test_perfect_samples_diverge_by_half_of_the_modes_to_each_sample() -> None:
    random, p = np.random.default_rng(2), np.full(1_000, 1e-3)
    values = [modes.kl_nats(modes.shares(random.multinomial(26_000, p)), p) for _ in range(20)]
    assert np.mean(values) == pytest.approx(999 / 52_000, rel=0.05)


def test_fewer_samples_than_modes_are_said_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    modes._say_few.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert of(np.arange(300), np.arange(1_000), 1_000)["modes"] == 300
    assert caplog.messages == [
        "modes: 300 samples cannot cover all 1000 modes, as many real images cover about 259; raise num_samples"
    ]
    assert pytest.approx(259, abs=0.5) == 1_000 * (1 - 0.999**300)


def test_without_labels_there_are_none_and_another_extractor_is_refused() -> None:
    unlabelled = Split(np.zeros((5, 1, 8, 8), np.uint8))
    assert modes.compute(context(np.zeros((5, 1)), np.zeros((5, 1)), split=unlabelled)) == {}
    with pytest.raises(
        UserError, match=r"^modes needs an extractor that tells .*, got 10 of them and a label 12; take"
    ):
        of(np.arange(10), np.array([12, 0]), 10)


def test_planes_are_told_apart_by_the_extractor_of_digits(extractor: Classifier) -> None:
    test = datasets.load("stacked_digits").test
    found = on_planes(extractor).features(test.images[:40])
    each = [extractor.features(test.images[:40, [plane]]) for plane in range(3)]
    mode = np.array([100 * a + 10 * b + c for a, b, c in zip(*[s.probabilities.argmax(1) for s in each], strict=True)])
    np.testing.assert_array_equal(found.probabilities.argmax(1), mode)
    np.testing.assert_allclose(found.probabilities.sum(1), 1, rtol=1e-5)
    assert found.probabilities[7, 507] == pytest.approx(
        each[0].probabilities[7, 5] * each[1].probabilities[7, 0] * each[2].probabilities[7, 7], rel=1e-5
    )
    np.testing.assert_array_equal(found.features[:, 32:64], each[1].features)


def test_the_extractor_of_a_stacked_dataset_is_that_of_its_planes(digits: Dataset, tmp_path: Path) -> None:
    data = datasets.load("stacked_digits")
    found = extractor_for(data.training_data, tmp_path)
    assert found.hash == extractor_for(digits.training_data, tmp_path).hash
    assert found.name.endswith("@1 x 3")
    seen = found.features(data.test.images).probabilities.argmax(1)
    assert (seen == data.test.labels).mean() > 0.9


def test_real_images_are_the_floor(extractor: Classifier) -> None:
    data = datasets.load("stacked_digits")
    judge = make_judge(on_planes(extractor), data.test, ("modes",))
    found = floor(judge, data.train, draws=2)
    share = np.bincount(data.planes.train.labels, minlength=10) / len(data.planes.train)
    expected = modes.expected_modes(np.einsum("i,j,k->ijk", share, share, share).ravel(), 2_000)
    assert found["modes"]["mean"] == pytest.approx(expected, abs=15)
    assert 0.2 < found["modes_kl"]["mean"] < 0.6  # 999 / 4,000 nats, and what 2,000 real images leave uncertain
