"""MS-SSIM against torchmetrics' class, and against a plain loop where images are too small for it."""

import numpy as np
import pytest
import torch
from torchmetrics.image import MultiScaleStructuralSimilarityIndexMeasure

from genray.data.spec import Split
from genray.errors import UserError
from genray.metrics.ms_ssim import MAX_PAIRS, SMALLEST, WEIGHTS, compute, scales, similarity
from tests.metrics.fakes import context


def pairs(n: int, side: int, channels: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(side)
    first = torch.rand(n, channels, side, side, generator=generator)
    return first, (first + 0.3 * torch.rand(first.shape, generator=generator)).clamp(0, 1)


def of(samples: np.ndarray) -> float:
    nothing = np.zeros((len(samples), 1))
    return compute(context(nothing, nothing, samples=Split(samples)))["ms_ssim"]


@pytest.mark.parametrize(("side", "channels"), [(176, 3), (180, 1)])
def test_at_five_scales_it_is_torchmetrics_own_default(side: int, channels: int) -> None:
    first, second = pairs(2, side, channels)
    theirs = MultiScaleStructuralSimilarityIndexMeasure(data_range=1.0)
    assert similarity(first, second).mean() == pytest.approx(float(theirs(first, second)), rel=1e-4)


@pytest.mark.parametrize(("side", "count"), [(28, 2), (32, 2), (64, 3), (100, 4), (20, 1), (11, 1)])
def test_at_fewer_scales_it_is_torchmetrics_with_their_weights(side: int, count: int) -> None:
    first, second = pairs(3, side)
    weights = np.array(WEIGHTS[:count]) / np.sum(WEIGHTS[:count])
    theirs = MultiScaleStructuralSimilarityIndexMeasure(data_range=1.0, betas=tuple(map(float, weights)))
    assert similarity(first, second).mean() == pytest.approx(float(theirs(first, second)), rel=1e-6)


def ssim_by_loops(x: np.ndarray, y: np.ndarray, window: int, sigma: float) -> float:
    """Wang et al. 2004, eq. 13, at every pixel of mirrored images."""
    half = window // 2
    along = np.exp(-(np.arange(-half, half + 1) ** 2) / (2 * sigma**2))
    kernel = np.outer(along, along) / along.sum() ** 2
    x_wide, y_wide = (np.pad(image, half, mode="reflect") for image in (x, y))
    values = []
    for row, column in np.ndindex(*x.shape):
        a, b = (wide[row : row + window, column : column + window] for wide in (x_wide, y_wide))
        mu_a, mu_b = (kernel * a).sum(), (kernel * b).sum()
        var_a, var_b = (kernel * a**2).sum() - mu_a**2, (kernel * b**2).sum() - mu_b**2
        cov = (kernel * a * b).sum() - mu_a * mu_b
        luminance = (2 * mu_a * mu_b + 0.01**2) / (mu_a**2 + mu_b**2 + 0.01**2)
        values.append(luminance * (2 * cov + 0.03**2) / (var_a + var_b + 0.03**2))
    return float(np.mean(values))


@pytest.mark.parametrize(("side", "window"), [(8, 7), (12, 11), (5, 5), (4, 3), (3, 3)])
def test_small_images_have_one_scale_and_a_smaller_window(side: int, window: int) -> None:
    assert scales(side) == ((1.0,), window)
    first, second = pairs(3, side)
    found = similarity(first, second)
    for x, y, value in zip(first[:, 0].double().numpy(), second[:, 0].double().numpy(), found, strict=True):
        assert float(value) == pytest.approx(ssim_by_loops(x, y, window, 1.5 * window / 11), abs=1e-4)


@pytest.mark.parametrize("side", [8, 21, 22, 28, 43, 44, 98, 99, 175, 176])
def test_every_size_can_be_computed_and_equal_images_are_at_one(side: int) -> None:
    weights, _ = scales(side)
    assert len(weights) == sum(side >= smallest for smallest in SMALLEST)
    assert sum(weights) == pytest.approx(1)
    first, second = pairs(2, side)
    torch.testing.assert_close(similarity(first, first), torch.ones(2))
    assert (similarity(first, second) < 0.999).all()


def test_pairs_are_of_different_samples_and_all_count() -> None:
    random = np.random.default_rng(0)
    samples = random.integers(0, 256, (7, 1, 12, 12), np.uint8)
    x = torch.tensor(samples).double() / 255
    expected = [ssim_by_loops(*x[[i, i + 3], 0].numpy(), 11, 1.5) for i in range(3)]
    assert of(samples) == pytest.approx(np.mean(np.maximum(expected, 0)), abs=1e-4)
    many = np.resize(samples, (3 * MAX_PAIRS, 1, 12, 12))
    assert 0 < of(many) < 1


def test_a_collapsed_model_is_at_one_and_a_varied_one_is_not() -> None:
    random = np.random.default_rng(0)
    samples = random.integers(0, 256, (40, 3, 28, 28), np.uint8)
    assert of(samples[:1].repeat(40, 0)) == pytest.approx(1, abs=1e-5)
    assert of(samples) < 0.2


def test_images_without_room_for_a_window_are_refused() -> None:
    with pytest.raises(UserError, match="ms_ssim needs images of at least 3 pixels a side, got 2; take larger images"):
        of(np.zeros((4, 1, 2, 5), np.uint8))
