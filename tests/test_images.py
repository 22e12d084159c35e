from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genray.images import GREY, grid, paired_grid, save_png, to_float, to_uint8


def test_every_8_bit_value_survives_the_way_there_and_back() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    floats = to_float(values)
    assert (floats.min(), floats.max()) == (-1, 1)
    np.testing.assert_array_equal(to_uint8(floats), values)


def test_values_outside_are_clipped_and_others_rounded() -> None:
    images = torch.tensor([-7.0, -1.0, 0.0, 1.0, 9.0]).reshape(5, 1, 1, 1)
    assert to_uint8(images).ravel().tolist() == [0, 0, 128, 255, 255]


def test_read_only_arrays_are_copied() -> None:
    values = np.zeros((2, 1, 2, 2), np.uint8)
    values.setflags(write=False)
    to_float(values).add_(1)
    assert (values == 0).all()


def test_a_grid_puts_each_image_in_its_place() -> None:
    images = np.random.default_rng(0).integers(1, 256, (5, 3, 40, 33), np.uint8)
    picture = grid(images, columns=2)
    assert picture.shape == (3 * 42 - 2, 2 * 35 - 2, 3)
    np.testing.assert_array_equal(picture[42:82, 35:68], images[3].transpose(1, 2, 0))
    assert (picture[84:, 35:] == GREY).all()
    assert (picture[40:42] == GREY).all()


def test_small_images_are_enlarged_by_whole_factors() -> None:
    image = np.arange(64, dtype=np.uint8).reshape(1, 1, 8, 8)
    np.testing.assert_array_equal(grid(image, columns=1)[:, :, 0], np.kron(image[0, 0], np.ones((4, 4), np.uint8)))


@pytest.mark.parametrize(
    ("n", "rows", "columns"), [(7, 4, 3), (6, 4, 3), (2, 2, 2)]
)  # a row that is not whole is left out
def test_pairs_stand_over_each_other(n: int, rows: int, columns: int) -> None:
    first = np.full((n, 1, 32, 32), 100, np.uint8)
    picture = paired_grid(first, first + 100, columns=3)
    assert picture.shape == (rows * 34 - 2, columns * 34 - 2, 1)
    assert (picture[:32, :32] == 100).all()
    assert (picture[34:66, :32] == 200).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_holds_the_picture(tmp_path: Path, channels: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, channels), np.uint8)
    save_png(tmp_path / "new" / "a.png", picture)
    with Image.open(tmp_path / "new" / "a.png") as read:
        np.testing.assert_array_equal(np.asarray(read).reshape(5, 7, channels), picture)
