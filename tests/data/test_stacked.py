"""Stacked digits: every plane is an image of the same split, and the mode is what the planes write."""

import numpy as np
import pytest

from genray.data import datasets
from genray.data.spec import Dataset
from genray.data.stacked import digits_of, mode_names, mode_of


@pytest.fixture(scope="module")
def stacked_digits() -> Dataset:
    return datasets.load("stacked_digits")


def test_planes_are_digits_of_their_split_and_the_label_is_what_they_write(
    digits: Dataset, stacked_digits: Dataset
) -> None:
    for part in ("train", "validation", "test"):
        split, planes = getattr(stacked_digits, part), getattr(digits, part)
        known: dict[bytes, set[int]] = {}
        for image, label in zip(planes.images, planes.labels, strict=True):
            known.setdefault(image.tobytes(), set()).add(int(label))
        for image, label in zip(split.images, split.labels, strict=True):
            for plane, figure in zip(image, f"{label:03d}", strict=True):
                assert int(figure) in known[plane.tobytes()]


def test_no_test_digit_is_in_training(digits: Dataset, stacked_digits: Dataset) -> None:
    def planes(split: object) -> set[bytes]:
        return {plane.tobytes() for image in split.images for plane in image}

    twins = {i.tobytes() for i in digits.train.images} & {i.tobytes() for i in digits.test.images}
    assert planes(stacked_digits.train) & planes(stacked_digits.test) <= twins
    assert len(planes(stacked_digits.train)) == len({i.tobytes() for i in digits.train.images})


def test_stacked_digits_are_the_same_everywhere(stacked_digits: Dataset) -> None:
    assert stacked_digits.fingerprint == "3dfbc53205fca03e"
    assert stacked_digits.spec.shape == (3, 8, 8)
    assert stacked_digits.spec.num_classes == 1_000
    assert stacked_digits.class_names[507] == "507"
    sizes = next(d.sizes for d in datasets.describe() if d.name == "stacked_digits")
    assert sizes == tuple(map(len, (stacked_digits.train, stacked_digits.validation, stacked_digits.test)))


def test_all_modes_come_as_often_as_their_digits(digits: Dataset, stacked_digits: Dataset) -> None:
    """8,000 draws over 1,000 modes: chi-squared against the product of the digits' shares."""
    share = np.bincount(digits.train.labels, minlength=10) / len(digits.train)
    expected = 8_000 * np.einsum("i,j,k->ijk", share, share, share).ravel()
    counts = np.bincount(stacked_digits.train.labels, minlength=1_000)
    assert abs(((counts - expected) ** 2 / expected).sum() - 999) < 4 * (2 * 999) ** 0.5


def test_modes_and_digits_are_each_others_inverse() -> None:
    modes = np.arange(27)
    np.testing.assert_array_equal(mode_of(digits_of(modes, 3), 3), modes)
    assert mode_names(3)[5] == "012"


def test_image_size_is_that_of_every_plane() -> None:
    data = datasets.load("stacked_digits", image_size=16)
    assert data.train.images.shape == (8_000, 3, 16, 16)
