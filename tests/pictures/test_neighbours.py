"""Samples beside their nearest real images: against distances of all pairs, and where each image stands."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from torch import Tensor

import genray
from genray.data.spec import Split
from genray.extractors.base import FeatureSet
from genray.images import to_uint8
from genray.pictures.neighbours import BETWEEN, GAP, LINE, NUM_SHOWN, Known, Neighbours, find, picture


class Pixels:
    def features(self, images: Tensor | NDArray[np.uint8], device: torch.device | str = "cpu") -> FeatureSet:
        values = to_uint8(images) if isinstance(images, Tensor) else images
        flat = values.reshape(len(values), -1).astype(np.float32)
        return FeatureSet(flat, np.ones((len(flat), 1), np.float32))


def images(n: int, seed: int, *, channels: int = 1, side: int = 4) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, channels, side, side), dtype=np.uint8)


def known(train: NDArray[np.uint8], unseen: NDArray[np.uint8]) -> Known:
    return Known(Pixels(), Split(train), Pixels().features(train), Split(unseen), Pixels().features(unseen))


def test_neighbours_are_the_nearest_of_all_pairs() -> None:
    train, unseen, samples = images(300, 0), images(40, 1), images(50, 2)
    samples[7], samples[11] = train[123], unseen[5]
    found = find(samples, known(train, unseen), "cpu")
    flat = [x.reshape(len(x), -1).astype(float) for x in (samples, train, unseen)]
    to_train, to_unseen = cdist(flat[0], flat[1]), cdist(flat[0], flat[2])
    order = to_train.min(1).argsort()[:NUM_SHOWN]
    assert order[0] == 7
    np.testing.assert_array_equal(found.samples, samples[order])
    np.testing.assert_array_equal(found.train, train[to_train.argmin(1)[order]])
    np.testing.assert_array_equal(found.unseen, unseen[to_unseen.argmin(1)[order]])
    np.testing.assert_allclose(found.to_train, to_train.min(1)[order], rtol=1e-6, atol=1e-3)
    np.testing.assert_allclose(found.to_unseen, to_unseen.min(1)[order], rtol=1e-6, atol=1e-3)
    assert found.to_train[0] == 0
    assert found.typical == pytest.approx(np.sort(cdist(flat[2], flat[1]).min(1))[19], rel=1e-6)  # of 40, the lower


@pytest.mark.parametrize(
    ("channels", "side", "cell"), [(1, 8, 48), (3, 32, 64), (1, 28, 56), (3, 64, 64), (3, 256, 96), (1, 50, 50)]
)
@pytest.mark.parametrize("n", [12, 5, 1])
def test_each_stands_in_its_place(channels: int, side: int, cell: int, n: int) -> None:
    """Plain images, as bright as their number."""
    parts = [np.full((n, channels, side, side), 0, np.uint8) for _ in range(3)]
    for k, part in enumerate(parts):
        part += (np.arange(n) * 10 + k * 3).astype(np.uint8)[:, None, None, None]
    found = Neighbours(*parts, np.linspace(0, 5, n), np.linspace(1, 6, n), 2.0)
    drawn = picture(found)
    columns = min(n, 2)
    for i in range(n):
        for k in range(3):
            x = BETWEEN + i % columns * (3 * cell + 2 * GAP + BETWEEN) + k * (cell + GAP)
            y = LINE + i // columns * (cell + LINE + GAP)
            assert (drawn[y : y + cell, x : x + cell] == i * 10 + k * 3).all(), (i, k)
            assert (drawn[y : y + cell, x + cell] == 255).all()
            below = drawn[y + cell + 1 : y + cell + LINE, x : x + cell]
            assert (below < 128).any() == (k > 0)  # a distance, but not below the sample
    assert (drawn[-LINE:] < 128).any()
    assert drawn.shape[2] == 3


def test_a_picture_of_an_evaluated_run_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While training the test split is not there. Without the metric that looks at training images there is none."""
    monkeypatch.setenv("GENRAY_CACHE", str(tmp_path / "cache"))
    experiment = {"model": {"name": "gan"}, "epochs": 1, "num_samples": 60, "metrics": ["memorization", "frechet"]}
    run = genray.train(experiment, out=tmp_path / "run")
    assert run.picture_path("samples").exists()
    assert not run.picture_path("nearest").exists()
    genray.evaluate(run.path)
    assert run.picture_path("nearest").exists()
    genray.compare([run.path], out=tmp_path / "page")
    page = (tmp_path / "page/index.html").read_text()
    assert "Nearest real images of gan, seed 0" in page
    other = genray.train(experiment | {"metrics": ["frechet"]}, out=tmp_path / "other")
    genray.evaluate(other.path)
    assert not other.picture_path("nearest").exists()


def test_neighbours_are_by_the_judges_extractor() -> None:
    """What is nearest in some features is not in others: here the mean of the pixels alone."""

    class Brightness(Pixels):
        def features(self, images: Tensor | NDArray[np.uint8], device: torch.device | str = "cpu") -> FeatureSet:
            seen = super().features(images, device)
            return replace(seen, features=seen.features.mean(1, keepdims=True))

    train = np.stack([np.full((1, 2, 2), 100), np.array([[[0, 255], [0, 255]]])]).astype(np.uint8)
    sample = np.array([[[[0, 200], [0, 200]]]], np.uint8)
    by_pixels = find(sample, known(train, train), "cpu")
    seen = Brightness().features(train)
    by_brightness = find(sample, Known(Brightness(), Split(train), seen, Split(train), seen), "cpu")
    np.testing.assert_array_equal(by_pixels.train[0], train[1])
    np.testing.assert_array_equal(by_brightness.train[0], train[0])
