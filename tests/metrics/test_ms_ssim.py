"""MS-SSIM against torchmetrics' class, and against loops in NumPy and SciPy that share nothing with it."""

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import torch
from torchmetrics.image import MultiScaleStructuralSimilarityIndexMeasure

from genray.data import datasets
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


def ms_ssim_by_scipy(x: np.ndarray, y: np.ndarray, *, mirrored: bool) -> float:
    """Of two images (C, H, W). Wang et al. 2003, eq. 7: contrast and structure of each scale over windows that lie
    inside, and at the coarsest the whole SSIM, there at every pixel of a `mirrored` image or over windows inside."""
    count = {28: 2, 64: 3, 176: 5}[x.shape[1]]
    weights = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])[:count]
    along = scipy.signal.windows.gaussian(11, 1.5)
    kernel = np.outer(along, along) / along.sum() ** 2

    def inside(image: np.ndarray) -> np.ndarray:
        return scipy.signal.correlate(image, kernel, mode="valid", method="direct")

    def everywhere(image: np.ndarray) -> np.ndarray:
        return scipy.ndimage.correlate(image, kernel, mode="mirror")

    found = 1.0
    for scale, weight in enumerate(weights / weights.sum()):
        is_last, terms = scale == count - 1, []
        smooth = everywhere if is_last and mirrored else inside
        for a, b in zip(x, y, strict=True):
            mu_a, mu_b = smooth(a), smooth(b)
            var_a, var_b = smooth(a * a) - mu_a**2, smooth(b * b) - mu_b**2
            term = (2 * (smooth(a * b) - mu_a * mu_b) + 0.03**2) / (var_a + var_b + 0.03**2)
            luminance = (2 * mu_a * mu_b + 0.01**2) / (mu_a**2 + mu_b**2 + 0.01**2)
            terms.append((term * luminance if is_last else term).mean())
        found *= max(np.mean(terms), 0) ** weight
        x, y = (half(image) for image in (x, y))
    return float(found)


def half(image: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels; a last row or column of odd ones is left out."""
    image = image[:, : image.shape[1] // 2 * 2, : image.shape[2] // 2 * 2]
    return (image[:, ::2, ::2] + image[:, 1::2, ::2] + image[:, ::2, 1::2] + image[:, 1::2, 1::2]) / 4


@pytest.mark.parametrize(("side", "channels"), [(28, 1), (28, 3), (64, 1), (176, 1)])
def test_several_scales_by_scipy(side: int, channels: int) -> None:
    """And not by windows that lie inside at the coarsest scale too, as Wang et al. have them."""
    first, second = pairs(3, side, channels)
    found = similarity(first, second).numpy()
    images = [(x.double().numpy(), y.double().numpy()) for x, y in zip(first, second, strict=True)]
    expected, of_wang = ([ms_ssim_by_scipy(x, y, mirrored=m) for x, y in images] for m in (True, False))
    assert found == pytest.approx(expected, rel=1e-4)
    assert found != pytest.approx(of_wang, rel=1e-4)
    assert found == pytest.approx(of_wang, abs=0.03)


@pytest.mark.mnist
@pytest.mark.nightly
def test_figures_of_the_two_conventions_on_mnist() -> None:
    """Which docs/metrics.md and the metric quote."""
    if not next(d for d in datasets.describe() if d.name == "mnist").is_present:
        pytest.skip("needs MNIST under GENRAY_DATA")
    images = datasets.load("mnist").test.images[:2_000] / 255
    by = [
        np.array([ms_ssim_by_scipy(*pair, mirrored=m) for pair in zip(images[:1_000], images[1_000:], strict=True)])
        for m in (True, False)
    ]
    found = similarity(*torch.tensor(images).chunk(2)).numpy()
    assert found == pytest.approx(by[0], rel=1e-4, abs=1e-6)
    assert [f"{values.mean():.3f}" for values in (found, by[1])] == ["0.201", "0.131"]
    assert f"{np.abs(found - by[1]).max():.2f}" == "0.47"


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
    order = np.random.default_rng(0).permutation(7)
    expected = [ssim_by_loops(*x[[order[i], order[i + 3]], 0].numpy(), 11, 1.5) for i in range(3)]
    assert of(samples) == pytest.approx(np.mean(np.maximum(expected, 0)), abs=1e-4)
    many = np.resize(samples, (3 * MAX_PAIRS, 1, 12, 12))
    assert 0 < of(many) < 1


def test_images_that_stand_class_by_class_are_as_alike_as_in_any_order() -> None:
    """Two classes of one image each: half of all pairs are of one class, and those of the halves would be of two."""
    random = np.random.default_rng(0)
    two = random.integers(0, 256, (2, 1, 28, 28), np.uint8)
    assert of(two.repeat(400, 0)) == pytest.approx(0.5, abs=0.1)


def test_a_collapsed_model_is_at_one_and_a_varied_one_is_not() -> None:
    random = np.random.default_rng(0)
    samples = random.integers(0, 256, (40, 3, 28, 28), np.uint8)
    assert of(samples[:1].repeat(40, 0)) == pytest.approx(1, abs=1e-5)
    assert of(samples) < 0.2


def test_images_without_room_for_a_window_are_refused() -> None:
    with pytest.raises(UserError, match="ms_ssim needs images of at least 3 pixels a side, got 2; take larger images"):
        of(np.zeros((4, 1, 2, 5), np.uint8))
