"""Sliced Wasserstein distance against SciPy's, projection by projection, and against a closed form."""

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import torch

from genray.data.spec import Split
from genray.metrics import swd
from genray.metrics.swd import compute, directions, level_distances, normalized, num_levels, patches, sliced_wasserstein
from tests.metrics.fakes import context


def images(n: int, shape: tuple[int, int, int], seed: int = 0, top: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, top, (n, *shape), np.uint8)


def of(real: np.ndarray, fake: np.ndarray, seed: int = 0) -> float:
    nothing = np.zeros((len(real), 1)), np.zeros((len(fake), 1))
    return compute(context(*nothing, split=Split(real), samples=Split(fake), seed=seed))["swd"]


def test_scipys_wasserstein_distance_of_each_projection() -> None:
    random = np.random.default_rng(0)
    x, y = torch.tensor(random.normal(size=(300, 9))), torch.tensor(random.exponential(size=(300, 9)))
    along = directions(9, random)
    expected = [scipy.stats.wasserstein_distance((x @ d).numpy(), (y @ d).numpy()) for d in along.T]
    assert sliced_wasserstein(x, y, along) == pytest.approx(np.mean(expected), rel=1e-10)
    torch.testing.assert_close(along.norm(dim=0), torch.ones(swd.PROJECTIONS, dtype=torch.float64))


def test_a_shift_moves_each_projection_by_its_share() -> None:
    x = torch.randn(50, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    shift = torch.tensor([3.0, 0, 0, 4], dtype=torch.float64)
    along = torch.eye(4, dtype=torch.float64)
    assert sliced_wasserstein(x, x + shift, along) == pytest.approx((3 + 4) / 4)


def test_the_whole_of_small_images_by_hand() -> None:
    """8 x 8: one level, and every one of the four patches of each image."""
    real, fake = images(40, (1, 8, 8)), images(40, (1, 8, 8), seed=1, top=100)

    def descriptors(batch: np.ndarray) -> np.ndarray:
        cut = [image[0, r : r + 7, c : c + 7].ravel() for image in batch / 127.5 - 1 for r in (0, 1) for c in (0, 1)]
        return (np.array(cut) - np.mean(cut)) / np.std(cut)

    random = np.random.default_rng(5)
    random.random((40, 4))  # the places
    along = directions(49, random).numpy()
    x, y = descriptors(real) @ along, descriptors(fake) @ along
    expected = np.mean([scipy.stats.wasserstein_distance(a, b) for a, b in zip(x.T, y.T, strict=True)])
    assert of(real, fake, seed=5) == pytest.approx(1_000 * expected, rel=1e-4)


def test_patches_are_cut_where_they_should_be() -> None:
    batch = torch.arange(2 * 3 * 9 * 8).float().view(2, 3, 9, 8)
    found = patches(batch, np.array([[1, 2, 1], [0, 0, 0]]))
    torch.testing.assert_close(found[0], batch[1, :, 2:9, 1:8].flatten(1))
    torch.testing.assert_close(found[1], batch[0, :, :7, :7].flatten(1))
    assert patches(torch.zeros(1, 1, 5, 9), np.array([[0, 0, 2]])).shape == (1, 1, 5 * 7)


def test_channels_are_normalized_over_their_set_and_flat_ones_are_at_zero() -> None:
    cut = torch.randn(50, 3, 49, generator=torch.Generator().manual_seed(0)) * 5 + 2
    cut[:, 2] = 0.3
    found = normalized(cut).view(50, 3, 49)
    torch.testing.assert_close(found.mean((0, 2)), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(found.var((0, 2), correction=0), torch.tensor([1.0, 1.0, 0.0]))


@pytest.mark.parametrize(
    ("size", "levels"), [((8, 8), 1), ((28, 28), 1), ((31, 40), 1), ((32, 32), 2), ((64, 64), 3), ((128, 40), 2)]
)
def test_levels_go_down_to_16_pixels(size: tuple[int, int], levels: int) -> None:
    assert num_levels(torch.Size(size)) == levels
    same = images(4, (3, *size))
    assert of(same, same) == 0
    assert of(same, images(4, (3, *size), seed=1)) > 0


def test_fine_noise_moves_the_finest_level_most() -> None:
    smooth = np.clip(np.linspace(0, 255, 64)[None, None, None] + images(200, (1, 1, 64), top=30), 0, 255)
    smooth = np.broadcast_to(smooth, (200, 1, 64, 64)).astype(np.uint8)
    rough = (smooth.astype(int) + images(200, (1, 64, 64), top=40) - 20).clip(0, 255).astype(np.uint8)
    assert of(smooth, rough) > 3 * of(smooth[:100], smooth[100:])


def test_sets_of_different_sizes_are_thinned_to_the_smaller() -> None:
    real = images(90, (1, 8, 8))
    assert of(real, real[:31]) == of(real[np.linspace(0, 89, 31, dtype=int)], real[:31])


def test_smoke_a_constant_model_has_a_distance() -> None:
    assert of(images(20, (1, 8, 8)), np.zeros((20, 1, 8, 8), np.uint8)) > 100


def test_the_mean_of_levels_is_the_score_and_finest_comes_first() -> None:
    real, fake = images(40, (1, 32, 32)), images(40, (1, 32, 32), seed=1, top=100)
    each = level_distances(*(torch.tensor(x).float() / 127.5 - 1 for x in (real, fake)), seed=3)
    assert len(each) == 2
    assert 1_000 * np.mean(each) == pytest.approx(of(real, fake, seed=3))
    smooth = np.broadcast_to(images(40, (1, 1, 1)), (40, 1, 32, 32))
    checked = np.where(np.indices((32, 32)).sum(0) % 2, smooth // 2, smooth)  # differs in the finest detail alone
    finest, coarse = level_distances(*(torch.tensor(x).float() / 127.5 - 1 for x in (smooth, checked)), seed=3)
    assert finest > 3 * coarse


@pytest.mark.parametrize(("channels", "side"), [(1, 32), (3, 40)])
def test_two_levels_by_hand(channels: int, side: int) -> None:
    """From images to the score: the pyramid by SciPy's filters, patches by indices, distances by SciPy's."""
    shape = (channels, side, side)
    real, fake = images(12, shape), images(12, shape, seed=1, top=140)
    binomial = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1])[None, None] / 256

    def pyramid(batch: np.ndarray) -> list[np.ndarray]:
        fine = batch / 127.5 - 1
        coarse = scipy.ndimage.convolve(fine, binomial, mode="mirror")[:, :, ::2, ::2]
        spread = np.zeros_like(fine)
        spread[:, :, ::2, ::2] = coarse
        return [fine - scipy.ndimage.convolve(spread, 4 * binomial, mode="mirror"), coarse]

    random, expected = np.random.default_rng(5), []
    for levels in zip(pyramid(real), pyramid(fake), strict=True):
        num_places = (levels[0].shape[2] - 6) ** 2
        chosen = random.random((12, num_places)).argsort(1)[:, :128]
        along = random.normal(size=(channels * 49, swd.PROJECTIONS))
        along /= np.sqrt((along**2).sum(0))
        sets = []
        for level in levels:
            corners = [(i, *divmod(place, level.shape[3] - 6)) for i in range(12) for place in chosen[i]]
            cut = np.array([level[i, :, row : row + 7, column : column + 7] for i, row, column in corners])
            centred = (cut - cut.mean((0, 2, 3), keepdims=True)) / cut.std((0, 2, 3), keepdims=True)
            sets.append(centred.reshape(len(cut), -1) @ along)
        pairs = zip(sets[0].T, sets[1].T, strict=True)
        expected.append(np.mean([scipy.stats.wasserstein_distance(a, b) for a, b in pairs]))
    assert len({round(value, 3) for value in expected}) == 2  # that which is which matters
    given = (torch.tensor(x, dtype=torch.float64) / 127.5 - 1 for x in (real, fake))
    assert level_distances(*given, seed=5) == pytest.approx(expected, rel=1e-10)
    assert of(real, fake, seed=5) == pytest.approx(1_000 * np.mean(expected), rel=1e-4)
