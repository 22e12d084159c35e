"""Completions of given parts, on a model whose every answer is known."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from genray.data.spec import DataSpec
from genray.errors import UserError
from genray.images import GREY
from genray.nn.noise import Noise
from genray.pictures.completions import complete, read

SPEC = DataSpec(1, 40, 40, 0)


class FillsIn:
    """Given the left quarter; answers one random value in all hidden pixels."""

    completes = True

    def masks(self, n: int, noise: Noise) -> Tensor:
        return (torch.arange(40) < 10).expand(n, 1, 40, 40)

    def complete(self, images: Tensor, masks: Tensor, noise: Noise) -> Tensor:
        return torch.where(masks, images, noise.uniform(len(images), 1, 1, 1))


def images(n: int, channels: int = 1) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (n, channels, 40, 40), dtype=np.uint8)


def test_a_row_is_the_image_what_is_given_and_k_completions() -> None:
    completions = complete(FillsIn(), images(2), 3, Noise("a"))
    picture = completions.picture()[:, :, 0]
    assert picture.shape == (2 * 40 + 2, 5 * 40 + 4 * 2)
    rows = [[picture[42 * i : 42 * i + 40, 42 * j : 42 * j + 40] for j in range(5)] for i in range(2)]
    for image, (original, given, *drawn) in zip(images(2)[:, 0], rows, strict=True):
        np.testing.assert_array_equal(original, image)
        np.testing.assert_array_equal(given[:, :10], image[:, :10])
        assert (given[:, 10:] == GREY).all()
        for completion in drawn:
            np.testing.assert_array_equal(completion[:, :10], image[:, :10])
            assert len(np.unique(completion[:, 10:])) == 1
    assert len({int(completion[0, 39]) for row in rows for completion in row[2:]}) == 6


@pytest.mark.parametrize("mode", ["L", "RGB", "1", "I;16"])
def test_gray_images_are_read_as_they_were_saved(tmp_path: Path, mode: str) -> None:
    values = images(1)[0, 0] if mode != "1" else (images(1)[0, 0] > 127).astype(np.uint8) * 255
    image = Image.fromarray(values.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(values).convert(mode)
    image.save(tmp_path / "image.png")
    np.testing.assert_array_equal(read([tmp_path / "image.png"], SPEC)[0, 0], values)


def test_color_becomes_luminance_and_other_sizes_are_cut_and_resized(tmp_path: Path) -> None:
    red = np.zeros((100, 60, 3), np.uint8)
    red[..., 0] = 200
    Image.fromarray(red).save(tmp_path / "red.png")
    found = read([tmp_path / "red.png"], SPEC)
    assert found.shape == (1, 1, 40, 40)
    np.testing.assert_allclose(found, 0.299 * 200, atol=1)  # ITU-R BT.601
    assert read([tmp_path / "red.png"], DataSpec(3, 40, 40, 0))[0, :, 5, 5].tolist() == [200, 0, 0]


def test_a_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "note.png").write_text("no image")
    with pytest.raises(UserError, match=r"note\.png"):
        read([tmp_path / "note.png"], SPEC)
