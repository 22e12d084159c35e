import numpy as np
import pytest
import scipy.ndimage
import torch

from genray.nn.pyramid import collapse, down, laplacian_pyramid, up


@pytest.mark.parametrize("size", [(32, 32), (28, 28), (33, 47), (64, 16), (8, 8)])
@pytest.mark.parametrize("num_levels", [1, 2, 3])
def test_a_pyramid_gives_back_its_images(size: tuple[int, int], num_levels: int) -> None:
    images = torch.randn(3, 2, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    levels = laplacian_pyramid(images, num_levels) if min(size) >> num_levels >= 1 else [images]
    torch.testing.assert_close(collapse(levels), images, rtol=0, atol=1e-14)
    sides = [level.shape[2] for level in levels]
    assert sides[1:] == [-(-side // 2) for side in sides[:-1]]


def test_scipys_filter_gives_the_same() -> None:
    image = torch.randn(20, 31, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    smooth = image.numpy()
    for axis in (0, 1):
        smooth = scipy.ndimage.correlate1d(smooth, [1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16], axis, mode="mirror")
    torch.testing.assert_close(down(image[None, None])[0, 0], torch.tensor(smooth[::2, ::2]))


def test_a_flat_image_holds_nothing_but_its_coarsest_level() -> None:
    fine, middle, coarse = laplacian_pyramid(torch.full((1, 1, 33, 33), 0.7, dtype=torch.float64), 3)
    assert fine.abs().max() < 1e-15
    assert middle.abs().max() < 1e-15
    torch.testing.assert_close(coarse, torch.full((1, 1, 9, 9), 0.7, dtype=torch.float64))
    torch.testing.assert_close(up(coarse, (17, 17)), torch.full((1, 1, 17, 17), 0.7, dtype=torch.float64))


@pytest.mark.parametrize("size", [(8, 8), (9, 7), (15, 16)])
def test_up_is_scipys_convolution_with_zeros_between(size: tuple[int, int]) -> None:
    """Each value spreads by the binomial filter of 5 x 5, four times as high, as one pixel of four has one."""
    height, width = size
    x = np.random.default_rng(0).normal(size=((height + 1) // 2, (width + 1) // 2))
    spread = np.zeros(size)
    spread[::2, ::2] = x
    kernel = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 64
    expected = scipy.ndimage.convolve(spread, kernel, mode="mirror")
    found = up(torch.tensor(x)[None, None].expand(2, 3, -1, -1), size)
    assert found.shape == (2, 3, *size)
    torch.testing.assert_close(found[1, 2], torch.tensor(expected), rtol=0, atol=1e-12)
