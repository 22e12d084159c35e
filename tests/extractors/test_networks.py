"""Inception and DINOv2, against the libraries' own networks on the same images."""

import hashlib
import pickle
import sys
import urllib.error
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm.data
import torch
from PIL import Image

from genray import extractors
from genray.cli import main
from genray.data.spec import Dataset, TrainingData
from genray.errors import UserError
from genray.extractors import dinov2, embedding, inception
from genray.extractors.dinov2 import resized_places
from genray.extractors.trained import extractor_for
from tests.extractors.networks import NETWORKS, put, random_dinov2, random_inception


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network here")

    monkeypatch.setattr(torch.hub, "urlopen", refuse)
    monkeypatch.setenv("GENRAY_CACHE", str(tmp_path))


def colour(n: int = 5, side: int = 32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 3, side, side), dtype=np.uint8)


def of_inception(network: torch.nn.Module, images: np.ndarray) -> np.ndarray:
    return network(torch.tensor(images))[0].numpy()


def of_dinov2(network: torch.nn.Module, images: np.ndarray) -> np.ndarray:
    """By timm's own preparation of pictures, told the size and that they are not cut."""
    config = timm.data.resolve_data_config({"input_size": (3, 224, 224), "crop_mode": "squash"}, model=network)
    transform = timm.data.create_transform(**config)
    pictures = [Image.fromarray(image.transpose(1, 2, 0)) for image in images]
    with torch.no_grad():
        return network(torch.stack([transform(picture) for picture in pictures])).numpy()


@pytest.mark.parametrize(
    ("name", "random", "own"),
    [("inception", random_inception, of_inception), ("dinov2_vits14", random_dinov2, of_dinov2)],
)
def test_features_are_the_librarys(
    few: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, random, own
) -> None:
    """Of colour images; of grey ones as of three equal channels; and of a pickled copy with read-only weights."""
    torch.manual_seed(0)
    network = random()
    put(name, network, tmp_path, monkeypatch)
    monkeypatch.setattr(embedding, "_BATCH", 2)
    extractor = extractors.make(name, few)
    images = colour()
    with torch.no_grad():
        expected = own(network, images)
    spread = expected.std(0).mean()
    assert spread > 1e-3 * np.abs(expected).mean()  # the images differ in what is compared
    np.testing.assert_allclose(extractor.array(images), expected, atol=1e-3 * spread)

    grey = few.train.images[:3]
    with torch.no_grad():
        expected = own(network, grey.repeat(3, axis=1))
    seen = extractor.features(grey)
    np.testing.assert_allclose(seen.features, expected, atol=1e-3 * spread)
    assert seen.features.shape == (3, getattr(*NETWORKS[name]).num_features)

    copy = pickle.loads(pickle.dumps(extractor))  # our own
    for value in copy.embed.weights.values():
        value.setflags(write=False)  # as Ray's object store gives them
    np.testing.assert_array_equal(copy.features(grey).features, seen.features)


def test_name_hash_and_classes(few: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hash is of the file; classes are our classifier's, as features of another network tell none."""
    path = put("inception", random_inception(), tmp_path, monkeypatch)
    extractor, ours = extractors.make("inception", few), extractor_for(few)
    assert extractor.name == "inception-2048@1"
    assert extractor.hash == inception.INCEPTION.weights.sha256[:16]
    assert extractor.recipe["library"] == "torch-fidelity 0.4.0"
    assert (extractor.classifier.name, extractor.classifier.hash) == (ours.name, ours.hash)
    images = few.train.images[:4]
    np.testing.assert_array_equal(extractor.features(images).probabilities, ours.features(images).probabilities)
    assert path.parent == tmp_path / "weights"


def cubic(distance: np.ndarray) -> np.ndarray:
    """Keys' kernel with a = -3/4, as PyTorch has it."""
    d, a = np.abs(distance), -0.75
    near, far = (a + 2) * d**3 - (a + 3) * d**2 + 1, a * (d**3 - 5 * d**2 + 8 * d - 4)
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def test_places_are_resized_as_by_the_authors() -> None:
    """Written out: the middle of patch i of 16 lies at (i + 1/2) 37 / 16.1 - 1/2 of 37, without smoothing."""
    plane = np.random.default_rng(0).normal(size=(37, 37, 3))
    at = (np.arange(16) + 0.5) * 37 / 16.1 - 0.5
    taps = np.floor(at)[:, None].astype(int) + np.arange(-1, 3)
    weights = np.zeros((16, 37))
    for row, (middle, places) in enumerate(zip(at, taps, strict=True)):
        np.add.at(weights[row], places.clip(0, 36), cubic(places - middle))
    expected = np.einsum("ip,jq,pqd->ijd", weights, weights, plane).reshape(256, 3)

    places = torch.tensor(np.concatenate([np.full((1, 3), 7.0), plane.reshape(-1, 3)])).float()
    resized = resized_places(places[None], 16)
    assert resized.shape == (1, 257, 3)
    assert (resized[0, 0] == 7).all()
    np.testing.assert_allclose(resized[0, 1:], expected, atol=1e-4)


@pytest.mark.parametrize("name", ["inception", "dinov2", "dinov2_vits14"])
def test_without_weights_one_line_says_what_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    network = {"inception": inception.INCEPTION, "dinov2": dinov2.LARGE, "dinov2_vits14": dinov2.SMALL}[name]
    run = tmp_path / "run"
    command = ["train", "gan", "--set", f"extractor={name}", "--set", "epochs=1", "--out", str(run)]
    assert main(command) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    for part in (network.weights.url, network.weights.sha256, " MB", str(tmp_path / "weights"), "no network here"):
        assert part in told
    assert not run.exists()
    assert not list((tmp_path / "weights").iterdir())


def test_another_file_is_refused(few: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put("inception", random_inception(), tmp_path, monkeypatch)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="is not the file that it should be: SHA-256 must be") as error:
        extractors.make("inception", few)
    assert str(path) in str(error.value)
    assert inception.INCEPTION.weights.url in str(error.value)


def test_weights_are_downloaded_whole_or_not_at_all(
    few: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a file's address, in the place of the network's."""
    monkeypatch.undo()
    there = tmp_path / "there"
    there.mkdir()
    file = there / "weights.pth"
    torch.save({"a": torch.ones(2)}, file)
    monkeypatch.setenv("GENRAY_CACHE", str(tmp_path / "cache"))
    wrong = replace(inception.INCEPTION.weights, url=file.as_uri())
    with pytest.raises(UserError, match=r"cannot be downloaded .invalid hash value"):
        wrong.load("inception")
    assert not list(wrong.path.parent.iterdir())

    right = replace(wrong, sha256=hashlib.sha256(file.read_bytes()).hexdigest())
    assert torch.equal(right.load("inception")["a"], torch.ones(2))
    assert [path.name for path in right.path.parent.iterdir()] == ["weights.pth"]
    file.unlink()
    assert right.load("inception")  # from where it lies now


@pytest.mark.parametrize(("name", "package"), [("inception", "torch_fidelity"), ("dinov2", "timm")])
def test_without_its_package_one_line_says_how_to_install_it(
    few: TrainingData, monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=r"needs the package .*pip install 'genray\[extractors\]'") as error:
        extractors.make(name, few)
    assert "\n" not in str(error.value)


def test_what_processes_share_is_counted(digits: Dataset) -> None:
    assert extractors.stored_bytes("inception", 1_797) == 95_628_359 + 4 * 2_048 * 1_797
    assert extractors.stored_bytes("classifier", 1_797) == 0
