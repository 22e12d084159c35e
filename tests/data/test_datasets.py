import gzip
import hashlib
import struct
import urllib.request
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from sklearn.datasets import load_digits

from genray.data import datasets
from genray.data.downloads import data_root
from genray.data.spec import Dataset
from genray.errors import UserError

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx(array: np.ndarray) -> bytes:
    """The IDX format, written from its description."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_mnist(root: Path, num_train: int = 6_000, *, packed: bool = False, folder: str = "MNIST") -> list[np.ndarray]:
    random = np.random.default_rng(0)
    arrays = [
        array
        for n in (num_train, 50)
        for array in (random.integers(0, 256, (n, 28, 28), np.uint8), random.integers(0, 10, n).astype(np.uint8))
    ]
    raw = root / folder / "raw"
    raw.mkdir(parents=True)
    for name, array in zip(FILES, arrays, strict=True):
        if packed:
            (raw / f"{name}.gz").write_bytes(gzip.compress(idx(array), 1))
        else:
            (raw / name).write_bytes(idx(array))
    return arrays


def test_digits_are_scikit_learns_every_image_once(digits: Dataset) -> None:
    values, labels = load_digits(return_X_y=True)
    splits = (digits.train, digits.validation, digits.test)
    images = np.concatenate([split.images for split in splits]).reshape(-1, 64)
    ours = np.column_stack([np.round(images / 255 * 16), np.concatenate([split.labels for split in splits])])
    theirs = np.column_stack([values, labels])
    assert sorted(map(tuple, ours)) == sorted(map(tuple, theirs))
    assert images.max() == 255


def test_digits_splits_are_stratified(digits: Dataset) -> None:
    whole = np.bincount(load_digits(return_X_y=True)[1])
    for split, share in ((digits.test, 0.2), (digits.validation, 0.15)):
        np.testing.assert_allclose(np.bincount(split.labels), whole * share, atol=1.01)


def test_digits_are_the_same_everywhere(digits: Dataset) -> None:
    assert digits.fingerprint == "2844ceb756ac72c9"


def test_descriptions_are_true(digits: Dataset) -> None:
    described = {description.name: description for description in datasets.describe()}
    assert described["digits"].shape == digits.spec.shape
    assert described["digits"].sizes == tuple(map(len, (digits.train, digits.validation, digits.test)))
    assert described["digits"].is_present
    photographs = ["fashion_mnist", "kmnist", "cifar10"]
    assert datasets.names() == ["digits", "mnist", *photographs, "stacked_digits", "stacked_mnist"]


def test_image_size_resizes(digits: Dataset) -> None:
    large = datasets.load("digits", image_size=16)
    assert large.spec.shape == (1, 16, 16)
    assert (large.train.labels == digits.train.labels).all()
    back = large.train.images.reshape(-1, 1, 8, 2, 8, 2).mean((3, 5))  # means of 2 x 2 undo a doubling, nearly
    assert np.abs(back - digits.train.images).mean() < 12


def test_own_image_size_changes_nothing(digits: Dataset) -> None:
    assert datasets.load("digits", image_size=8).fingerprint == digits.fingerprint


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_are_read_packed_and_unpacked(tmp_path: Path, monkeypatch, packed: bool) -> None:
    monkeypatch.setenv("GENRAY_DATA", str(tmp_path))
    images, labels, test_images, test_labels = write_mnist(tmp_path, packed=packed)
    data = datasets.load("mnist")
    assert len(data.train) == 1_000
    assert len(data.validation) == 5_000
    np.testing.assert_array_equal(data.test.images[:, 0], test_images)
    np.testing.assert_array_equal(data.test.labels, test_labels)
    ours = np.concatenate([data.train.images, data.validation.images])[:, 0]
    our_labels = np.concatenate([data.train.labels, data.validation.labels])
    assert {(i.tobytes(), n) for i, n in zip(ours, our_labels, strict=True)} == {
        (i.tobytes(), n) for i, n in zip(images, labels, strict=True)
    }


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content[:-1],
        lambda content: content + b"x",
        lambda content: b"",
        lambda content: b"\x00\x00\x0d\x03" + content[4:],
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, monkeypatch, spoil) -> None:
    monkeypatch.setenv("GENRAY_DATA", str(tmp_path))
    write_mnist(tmp_path)
    path = tmp_path / "MNIST/raw" / FILES[2]
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(UserError, match=f"{FILES[2]} is damaged: .*delete it") as caught:
        datasets.load("mnist")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("spoil", [lambda content: content[:-9], lambda content: content[:200] + b"\0" + content[201:]])
def test_a_damaged_packed_file_is_named(tmp_path: Path, monkeypatch, spoil) -> None:
    monkeypatch.setenv("GENRAY_DATA", str(tmp_path))
    write_mnist(tmp_path, packed=True)
    path = tmp_path / "MNIST/raw" / f"{FILES[0]}.gz"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(UserError, match=rf"{FILES[0]}\.gz is damaged"):
        datasets.load("mnist")


def test_images_without_their_labels_are_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("GENRAY_DATA", str(tmp_path))
    write_mnist(tmp_path)
    (tmp_path / "MNIST/raw" / FILES[3]).write_bytes(idx(np.zeros(49, np.uint8)))
    with pytest.raises(UserError, match="t10k has 50 images but 49 labels"):
        datasets.load("mnist")


@pytest.mark.parametrize(
    ("file", "shape", "fill", "words"),
    [
        (0, (6_000, 0, 5), 0, "images must be 28 x 28, got 0 x 5"),
        (0, (6_000, 32, 32), 0, "images must be 28 x 28, got 32 x 32"),
        (0, (50, 28, 28), 0, "must hold 5008 images or more, got 50"),
        (2, (0, 28, 28), 0, "must hold 8 images or more, got 0"),
        (1, (6_000,), 200, "labels must be below 10, got 200"),
    ],
)
def test_files_of_another_dataset_are_named(tmp_path: Path, monkeypatch, file: int, shape, fill, words: str) -> None:
    monkeypatch.setenv("GENRAY_DATA", str(tmp_path))
    write_mnist(tmp_path)
    raw = tmp_path / "MNIST/raw"
    (raw / FILES[file]).write_bytes(idx(np.full(shape, fill, np.uint8)))
    if file % 2 == 0:
        (raw / FILES[file + 1]).write_bytes(idx(np.zeros(shape[0], np.uint8)))
    with pytest.raises(UserError, match=f"{FILES[file]} is not the dataset's: .*{words}; delete the folder"):
        datasets.load("mnist")


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        ("fashion_mnist", "train-images-idx3-ubyte.gz, .* into .*/FashionMNIST/raw"),
        ("cifar10", "cifar-10-python.tar.gz"),
    ],
)
def test_without_network_the_message_says_what_to_put_where(tmp_path: Path, monkeypatch, name, by_hand) -> None:
    def refuse(*_args: object, **_keywords: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setenv("GENRAY_DATA", str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(UserError, match=f"cannot download .*put {by_hand}") as caught:
        datasets.load(name)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_download_moves_whole_files_to_their_places(tmp_path: Path, monkeypatch) -> None:
    def fetch(root: str, download: bool) -> None:
        assert download
        write_mnist(Path(root), folder="KMNIST")

    monkeypatch.setenv("GENRAY_DATA", str(tmp_path / "new"))
    monkeypatch.setattr("torchvision.datasets.KMNIST", fetch)
    described = next(d for d in datasets.describe() if d.name == "kmnist")
    assert not described.is_present
    assert datasets.load("kmnist").spec.num_classes == 10
    assert described.is_present
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["KMNIST"]


def test_an_interrupted_download_leaves_nothing(tmp_path: Path, monkeypatch) -> None:
    def fetch(root: str, download: bool) -> None:
        write_mnist(Path(root), folder="KMNIST")
        raise KeyboardInterrupt

    monkeypatch.setenv("GENRAY_DATA", str(tmp_path))
    monkeypatch.setattr("torchvision.datasets.KMNIST", fetch)
    with pytest.raises(KeyboardInterrupt):
        datasets.load("kmnist")
    assert list(tmp_path.iterdir()) == []


def test_cifar10_planes_and_labels(tmp_path: Path, monkeypatch) -> None:
    import pickle

    from torchvision.datasets import CIFAR10

    random, known, batches = np.random.default_rng(0), [], {}
    (tmp_path / "cifar-10-batches-py").mkdir()
    for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
        batch = {"data": random.integers(0, 256, (1_100, 3072), np.uint8), "labels": [i % 10 for i in range(1_100)]}
        content = pickle.dumps(batch)
        (tmp_path / "cifar-10-batches-py" / name).write_bytes(content)
        known.append([name, hashlib.md5(content, usedforsecurity=False).hexdigest()])
        batches[name] = batch
    monkeypatch.setenv("GENRAY_DATA", str(tmp_path))
    monkeypatch.setattr(CIFAR10, "train_list", known[:5])
    monkeypatch.setattr(CIFAR10, "test_list", known[5:])
    data = datasets.load("cifar10")
    assert data.spec.shape == (3, 32, 32)
    assert len(data.train) == 500
    pixel = batches["test_batch"]["data"][7, 1024 + 5 * 32 + 3]  # image 7, green, row 5, column 3
    assert data.test.images[7, 1, 5, 3] == pixel
    assert list(np.bincount(data.validation.labels)) == [500] * 10
    (tmp_path / "cifar-10-batches-py" / "data_batch_3").write_bytes(b"import os")
    with pytest.raises(UserError, match="data_batch_3 is damaged"):
        datasets.load("cifar10")


@pytest.mark.parametrize("name", ["mnits", "", "folder", "DIGITS"])
def test_an_unknown_name_lists_the_known_ones(name: str) -> None:
    with pytest.raises(UserError, match=r"is not known.*known: cifar10, digits.*folder:/path"):
        datasets.load(name)


def test_the_nearest_name_is_offered() -> None:
    with pytest.raises(UserError, match="did you mean 'fashion_mnist'"):
        datasets.load("fashion-mnist")


def test_data_root(monkeypatch) -> None:
    monkeypatch.setenv("GENRAY_DATA", "~/somewhere")
    assert data_root() == Path.home() / "somewhere"
    monkeypatch.delenv("GENRAY_DATA")
    assert data_root() == Path.home() / ".cache/genray/data"


@pytest.mark.mnist
def test_mnist_is_the_official_one() -> None:
    if not next(d for d in datasets.describe() if d.name == "mnist").is_present:
        pytest.skip("MNIST is not under GENRAY_DATA")
    data = datasets.load("mnist")
    test_images_md5 = hashlib.md5(usedforsecurity=False)
    test_images_md5.update(struct.pack(">HBB3I", 0, 8, 3, 10_000, 28, 28) + data.test.images.tobytes())
    assert test_images_md5.hexdigest() == "2646ac647ad5339dbf082846283269ea"
    assert data.fingerprint == "ca9ebf4b419d3ff2"
