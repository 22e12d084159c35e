"""Files of samples, read back by other libraries than the ones that wrote them."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from genray.errors import UserError
from genray.images import GREY
from genray.samples import check_file, save


def images(channels: int, n: int = 5) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (n, channels, 40, 33), dtype=np.uint8)


def test_npz_of_gray_images(tmp_path: Path) -> None:
    save(images(1), tmp_path / "new/samples.npz")
    with np.load(tmp_path / "new/samples.npz") as file:
        assert file.files == ["images"]
        assert file["images"].dtype == np.uint8
        np.testing.assert_array_equal(file["images"], images(1)[:, 0])


def test_npz_of_color_images_has_channels_last(tmp_path: Path) -> None:
    save(images(3), tmp_path / "samples.npz")
    with np.load(tmp_path / "samples.npz") as file:
        assert file["images"].shape == (5, 40, 33, 3)
        for n, c, y, x in [(0, 0, 0, 0), (4, 2, 39, 32), (2, 1, 7, 20)]:
            assert file["images"][n, y, x, c] == images(3)[n, c, y, x]


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_png_is_a_square_grid(tmp_path: Path, channels: int, mode: str) -> None:
    """Five images of 40 x 33 in three columns: two rows, two pixels apart; the last place stays grey."""
    save(images(channels), tmp_path / "samples.png")
    with Image.open(tmp_path / "samples.png") as picture:
        assert (picture.mode, picture.size) == (mode, (3 * 33 + 2 * 2, 2 * 40 + 2))
        values = np.asarray(picture).reshape(82, 103, channels)
    np.testing.assert_array_equal(values[42:, 35:68], images(channels)[4].transpose(1, 2, 0))
    assert (values[42:, 70:] == GREY).all()


@pytest.mark.parametrize("name", ["samples", "samples.jpg", "folder.png"])
def test_other_places_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UserError, match="--out"):
        check_file(tmp_path / name)


def test_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        save(images(1), tmp_path / "file/samples.png")
