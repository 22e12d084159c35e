import logging
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from genray.data.spec import Dataset, DataSpec, Split, TrainingData
from genray.extractors import network
from genray.extractors.classifier import Classifier
from genray.extractors.trained import extractor_for, train_extractor
from genray.images import to_float


@pytest.fixture
def few_steps(monkeypatch) -> None:
    """Training that is short, where it does not matter what is learnt."""
    monkeypatch.setattr(network, "MIN_STEPS", 3)


def small(digits: Dataset, *, labels: bool = True, n: int = 64) -> TrainingData:
    train = Split(digits.train.images[:n], digits.train.labels[:n] if labels else None)
    validation = Split(digits.validation.images[:20], digits.validation.labels[:20] if labels else None)
    return TrainingData("folder:/somewhere/small", DataSpec(1, 8, 8, 10 if labels else 0), train, validation)


def test_it_tells_the_digits_apart(extractor: Classifier, digits: Dataset) -> None:
    seen = extractor.features(digits.test.images)
    assert (seen.probabilities.argmax(1) == digits.test.labels).mean() > 0.96
    assert extractor.recipe["validation_accuracy"] > 0.96
    np.testing.assert_allclose(seen.probabilities.sum(1), 1, rtol=1e-5)


def test_training_features_have_mean_0_and_variance_1(extractor: Classifier, digits: Dataset) -> None:
    standard = extractor.features(digits.train.images).features
    assert standard.shape == (len(digits.train), network.NUM_FEATURES)
    np.testing.assert_allclose(standard.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(standard.std(0), 1, atol=1e-4)


def test_name_and_hash(extractor: Classifier) -> None:
    assert extractor.name == "digits-cnn32@1"
    assert re.fullmatch("[0-9a-f]{16}", extractor.hash)


def test_floats_give_what_their_8_bit_values_give(extractor: Classifier, digits: Dataset) -> None:
    images = digits.test.images[:20]
    floats = to_float(images) + 1e-3  # less than half of a step of 1 / 127.5
    np.testing.assert_array_equal(extractor.features(floats).features, extractor.features(images).features)


def test_an_images_features_do_not_depend_on_its_company(extractor: Classifier, digits: Dataset) -> None:
    alone = extractor.features(digits.test.images[7:8]).features
    np.testing.assert_allclose(extractor.features(digits.test.images).features[7:8], alone, atol=1e-4)


def test_a_pickled_extractor_sees_the_same_in_read_only_arrays(extractor: Classifier, digits: Dataset) -> None:
    copy = pickle.loads(pickle.dumps(extractor))  # our own
    for value in copy.weights.values():
        value.setflags(write=False)  # as Ray's object store gives them
    images = digits.test.images[:9].copy()
    images.setflags(write=False)
    np.testing.assert_array_equal(copy.features(images).features, extractor.features(images).features)


@pytest.mark.usefixtures("few_steps")
def test_training_is_repeatable_and_leaves_the_process_as_it_was(digits: Dataset) -> None:
    data = small(digits)
    torch.manual_seed(5)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    first = train_extractor(data)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.get_num_threads() == threads
    torch.rand(3)
    assert train_extractor(data).hash == first.hash


@pytest.mark.usefixtures("few_steps")
def test_validation_images_do_not_reach_the_weights(digits: Dataset) -> None:
    data = small(digits)
    other = TrainingData(data.name, data.spec, data.train, Split(255 - data.validation.images, data.validation.labels))
    assert train_extractor(other).hash == train_extractor(data).hash
    changed = TrainingData(data.name, data.spec, Split(255 - data.train.images, data.train.labels), data.validation)
    assert train_extractor(changed).hash != train_extractor(data).hash


def test_without_labels_it_learns_the_rotations(digits: Dataset, monkeypatch) -> None:
    monkeypatch.setattr(network, "MIN_STEPS", 120)
    train, validation = Split(digits.train.images), Split(digits.validation.images)
    extractor = train_extractor(TrainingData("digits", DataSpec(1, 8, 8, 0), train, validation))
    assert extractor.name == "digits-rotnet32@1"
    assert extractor.recipe["task"] == "rotations"
    assert extractor.recipe["validation_accuracy"] > 0.75
    assert extractor.features(digits.test.images).probabilities.shape[1] == 4


def test_rotations_are_numpys() -> None:
    images = torch.arange(64 * 9, dtype=torch.int32).reshape(64, 1, 3, 3)
    turned, turns = network.rotated(images, torch.Generator().manual_seed(0))
    assert set(turns.tolist()) == {0, 1, 2, 3}
    for image, after, quarters in zip(images, turned, turns, strict=True):
        np.testing.assert_array_equal(np.rot90(image[0], quarters), after[0])


@pytest.mark.parametrize(
    "shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 64, 64), (1, 1, 1), (3, 5, 9), (1, 200, 200)]
)
def test_smoke_any_image_shape(shape: tuple[int, int, int]) -> None:
    model = network.Network(DataSpec(*shape, 10), 10).eval()
    seen, logits = model(torch.zeros(2, *shape, dtype=torch.uint8))
    assert seen.shape == (2, network.NUM_FEATURES)
    assert logits.shape == (2, 11)
    assert sum(p.numel() for p in model.parameters()) < 500_000


@pytest.mark.usefixtures("few_steps")
def test_the_cache_gives_back_what_was_trained(digits: Dataset, tmp_path: Path, monkeypatch) -> None:
    data = small(digits)
    trained = extractor_for(data, tmp_path)
    monkeypatch.setattr("genray.extractors.trained.train_extractor", lambda data: pytest.fail("trained again"))
    cached = extractor_for(data, tmp_path)
    assert (cached.name, cached.hash, cached.recipe, cached.spec) == (
        trained.name, trained.hash, trained.recipe, trained.spec,
    )  # fmt: skip
    images = digits.test.images[:5]
    np.testing.assert_array_equal(cached.features(images).features, trained.features(images).features)
    assert trained.name == "small-cnn32@1"


@pytest.mark.usefixtures("few_steps")
def test_other_training_images_are_another_file(digits: Dataset, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("GENRAY_CACHE", str(tmp_path))
    extractor_for(small(digits))
    extractor_for(small(digits, n=63))
    extractor_for(small(digits, labels=False))
    assert len(list((tmp_path / "extractors").glob("*.pt"))) == 3


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("spoil", ["cut", "empty", "other weights", "another file"])
def test_a_damaged_cache_is_trained_again_and_said(digits: Dataset, tmp_path: Path, caplog, spoil: str) -> None:
    data = small(digits)
    trained = extractor_for(data, tmp_path)
    (path,) = tmp_path.glob("*.pt")
    if spoil == "other weights":
        saved = torch.load(path, weights_only=True)
        saved["weights"]["mean"] += 1
        torch.save(saved, path)
    elif spoil == "another file":
        torch.save({"a": 1}, path)
    else:
        path.write_bytes(path.read_bytes()[:1000] if spoil == "cut" else b"")
    with caplog.at_level(logging.WARNING):
        assert extractor_for(data, tmp_path).hash == trained.hash
    (record,) = caplog.records
    assert str(path) in record.message
    assert "trained again" in record.message
    assert "\n" not in record.message
    caplog.clear()
    extractor_for(data, tmp_path)
    assert not caplog.records


@pytest.mark.usefixtures("few_steps")
def test_a_cache_that_cannot_be_written_is_said(digits: Dataset, tmp_path: Path, caplog) -> None:
    (tmp_path / "file").touch()
    assert extractor_for(small(digits), tmp_path / "file").hash
    assert "cannot be cached" in caplog.records[0].message


@pytest.mark.mnist
@pytest.mark.nightly
def test_mnist_is_learnt() -> None:
    from genray.data import datasets

    if not next(d for d in datasets.describe() if d.name == "mnist").is_present:
        pytest.skip("MNIST is not under GENRAY_DATA")
    assert train_extractor(datasets.load("mnist").training_data).recipe["validation_accuracy"] > 0.98
