"""Copies are told from honest samples; the shares agree with loops over all pairs and with a closed form."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from genray.data.spec import Dataset
from genray.errors import UserError
from genray.evaluation.floor import floor
from genray.evaluation.judge import Judge, make_judge, training_features
from genray.extractors.classifier import Classifier
from genray.metrics.base import Context
from genray.metrics.memorization import compute, nearest, share_below, share_below_in_pairs
from tests.metrics.fakes import Replay, SampleOnly, context, features

D, MODEL = 6, object()  # a model that is none of those that are asked for anything


def given(train: np.ndarray, real: np.ndarray, fake: np.ndarray, model: object = MODEL) -> Context:
    return replace(context(real, fake, model=model), train=features(train))


def normal(*sizes: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.normal(size=(n, D)).astype(np.float32).astype(float) for n in sizes]


def test_scikit_learns_neighbours_give_the_same() -> None:
    train, real, fake = normal(400, 150, 200)
    in_train, in_real = NearestNeighbors().fit(train), NearestNeighbors().fit(real)
    (to_train, place), to_unseen = in_train.kneighbors(fake, 1), in_train.kneighbors(real, 1)[0].ravel()
    between = in_train.kneighbors(train, 2)[0][place.ravel(), 1]
    to_real = in_real.kneighbors(fake, 1)[0].ravel()
    to_train = to_train.ravel()
    assert compute(given(train, real, fake)) == {
        "authenticity": pytest.approx(np.mean(to_train > between)),
        "copying": pytest.approx(np.mean(to_train[:, None] < to_unseen)),
        "nearer_to_training": pytest.approx(np.mean(to_train < to_real)),
    }


def test_draws_of_one_distribution_are_where_theory_has_them() -> None:
    """The nearest of 500 + 250 exchangeable images is a training image in two thirds of the cases."""
    train, real, fake = normal(500, 250, 2_000)
    found = compute(given(train, real, fake))
    assert found["copying"] == pytest.approx(0.5, abs=0.05)
    assert found["nearer_to_training"] == pytest.approx(2 / 3, abs=0.05)
    alone = compute(given(train, real, fake, model=None))  # the floor
    assert alone["copying"] == pytest.approx(0.5, abs=0.05)
    assert alone["nearer_to_training"] == pytest.approx(2 / 3, abs=0.07)
    assert alone["authenticity"] == pytest.approx(found["authenticity"], abs=0.07)


def test_copies_noise_and_samples_of_the_dense_middle() -> None:
    train, real = normal(500, 250)
    copies = compute(given(train, real, train[::2]))
    assert copies == {"authenticity": 0, "copying": 1, "nearer_to_training": 1}
    far = compute(given(train, real, train[::2] + 100))
    assert far["authenticity"] == 1
    assert far["copying"] == 0


def test_samples_of_the_dense_middle_look_like_copies_but_to_one_score() -> None:
    random, found = np.random.default_rng(0), []
    for _ in range(8):
        train, real, fake = random.normal(size=(500, D)), random.normal(size=(250, D)), random.normal(size=(500, D))
        found.append(compute(given(train, real, fake / 2)))
    assert np.mean([scores["copying"] for scores in found]) > 0.7
    assert np.mean([scores["nearer_to_training"] for scores in found]) == pytest.approx(2 / 3, abs=0.04)


def test_half_a_memorizer_is_half_as_clear() -> None:
    train, real, fake = normal(500, 250, 1_000)
    mixed = compute(given(train, real, np.concatenate([fake[:500], train])))
    honest = compute(given(train, real, fake[:500]))
    assert mixed["authenticity"] == pytest.approx(honest["authenticity"] / 2)
    assert mixed["nearer_to_training"] == pytest.approx((honest["nearer_to_training"] + 1) / 2)


def test_an_image_that_stands_twice_in_the_training_split_is_no_more_authentic() -> None:
    (train,) = normal(50)
    twice = np.concatenate([train, train])
    assert compute(given(twice, train + 5, train))["authenticity"] == 0


def test_equal_distances_count_half() -> None:
    x, y = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([1.0, 1.0, 0.0])
    assert share_below_in_pairs(x, y) == pytest.approx((1 + 0.5 + 0) / 3)
    assert share_below(x, y) == pytest.approx(np.mean([1, 1, 0.5, 0.5, 0.5, 0, 0, 0, 0]))
    values, places = nearest(torch.eye(3).double(), torch.eye(3).double()[[2, 1]])
    assert (values.tolist(), places.tolist()[1:]) == ([2, 0, 0], [1, 0])


@pytest.fixture(scope="module")
def judge(extractor: Classifier, digits: Dataset) -> Judge:
    names = ("memorization",)
    return make_judge(extractor, digits.test, names, train=training_features(extractor, digits.train, names))


def test_a_memorizer_of_digits_is_caught(judge: Judge, digits: Dataset) -> None:
    memorizer = judge.score(Replay(digits.train.images), seed=0)
    assert memorizer == {"authenticity": 0, "copying": 1, "nearer_to_training": 1}
    honest = judge.score(Replay(digits.validation.images), seed=0)  # real, and not in the training split
    real = floor(judge, digits.train)
    for key, value in honest.items():
        assert abs(value - real[key]["mean"]) < 0.15
    assert memorizer["nearer_to_training"] > real["nearer_to_training"]["mean"] + real["nearer_to_training"]["ci95"]


def test_smoke_a_constant_model_has_shares(judge: Judge, digits: Dataset) -> None:
    assert all(0 <= value <= 1 for value in judge.score(SampleOnly(digits.spec), seed=0).values())


def test_features_without_variance_have_shares() -> None:
    same = np.ones((20, D))
    assert compute(given(same, same, same)) == {"authenticity": 0, "copying": 0.5, "nearer_to_training": 0.5}


def test_the_floor_takes_the_features_of_training_images_that_the_judge_has(
    extractor: Classifier, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are slow to compute by a large network. The values are those of features that are computed anew."""
    names = ("frechet", "prdc", "class_entropy")
    anew = floor(make_judge(extractor, digits.test, names, 200), digits.train, draws=2)
    train = training_features(extractor, digits.train, (*names, "memorization"))
    judge = make_judge(extractor, digits.test, names, 200, train=train)
    monkeypatch.setattr(Classifier, "features", lambda *_: pytest.fail("computed again"))
    known = floor(judge, digits.train, draws=2)
    assert known.keys() == anew.keys()
    for name, summary in known.items():
        assert summary["values"] == pytest.approx(anew[name]["values"], rel=1e-3, abs=1e-3)


def test_training_features_are_made_where_a_metric_looks_at_them(extractor: Classifier, digits: Dataset) -> None:
    assert training_features(extractor, digits.train, ("frechet", "prdc")) is None
    found = training_features(extractor, digits.train, ("frechet", "memorization"))
    assert found is not None
    assert len(found) == len(digits.train)
    with pytest.raises(UserError, match="memorization needs features of the training split, got none"):
        make_judge(extractor, digits.validation, ("memorization",)).score(Replay(digits.train.images), seed=0)
