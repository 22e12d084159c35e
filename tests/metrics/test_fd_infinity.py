"""FD∞ against the closed form of two Gaussians, which the plain distance of as many images exceeds by its bias."""

import numpy as np
import pytest
import scipy.linalg

from genray.errors import UserError
from genray.metrics import fd_infinity, frechet
from genray.metrics.fd_infinity import NUM_SIZES, NUM_SUBSETS, compute, intercept, subset_sizes
from tests.metrics.fakes import context

D, REPEATS = 16, 12


def closed_form(mu: np.ndarray, s: np.ndarray, nu: np.ndarray, t: np.ndarray) -> float:
    """Dowson & Landau 1982, eq. 4."""
    return float(np.sum((mu - nu) ** 2) + np.trace(s + t - 2 * scipy.linalg.sqrtm(s @ t).real))


@pytest.mark.parametrize(("real_count", "fake_count"), [(300, 300), (300, 2_000)])
def test_its_mean_is_the_closed_form_of_gaussians(real_count: int, fake_count: int) -> None:
    random = np.random.default_rng(0)
    a, b = np.eye(D) + random.normal(0, 0.1, (2, D, D))
    expected = closed_form(np.zeros(D), a @ a.T, np.full(D, 0.1), b @ b.T)
    found, plain = [], []
    for seed in range(REPEATS):
        real = random.normal(size=(real_count, D)) @ a.T
        fake = random.normal(size=(fake_count, D)) @ b.T + 0.1
        given = context(real, fake, seed=seed)
        found.append(compute(given)["fd_infinity"])
        plain.append(frechet.compute(given)["frechet"])
    of_found, of_plain = (np.std(values, ddof=1) / REPEATS**0.5 for values in (found, plain))
    assert np.mean(found) == pytest.approx(expected, abs=3 * of_found)
    assert np.mean(plain) > expected + 4 * of_plain  # what is taken off is not nothing


def test_equal_distributions_are_at_zero_on_average() -> None:
    random = np.random.default_rng(1)
    found = [
        compute(context(random.normal(size=(300, D)), random.normal(size=(300, D)), seed=seed))["fd_infinity"]
        for seed in range(REPEATS)
    ]
    assert np.mean(found) == pytest.approx(0, abs=3 * np.std(found, ddof=1) / REPEATS**0.5)
    assert min(found) < 0 < max(found)


def test_a_line_through_points_is_numpys() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 40))
    assert intercept(x, y) == pytest.approx(np.polyfit(x, y, 1)[1])
    assert intercept(x, 3 - 7 * x) == pytest.approx(3)


def test_sizes_reach_from_a_tenth_to_all_images_or_begin_above_the_dimensions() -> None:
    sizes = subset_sizes(50_000, 32)
    assert (sizes[0], sizes[-1], len(sizes)) == (5_000, 50_000, NUM_SIZES * NUM_SUBSETS)
    assert (np.diff(sizes) >= 0).all()
    assert subset_sizes(270, 32)[0] == 33


def test_too_few_images_are_refused_with_their_number() -> None:
    x = np.random.default_rng(0).normal(size=(40, 16))
    assert np.isfinite(compute(context(x[:34], x[:34]))["fd_infinity"])
    with pytest.raises(UserError, match="needs at least 34 images of each kind for 16 features, got 33; raise num"):
        compute(context(x, x[:33]))


def test_the_seed_decides_the_subsets() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 100, 8))
    assert compute(context(x, y, seed=1)) == compute(context(x, y, seed=1))
    assert compute(context(x, y, seed=1)) != compute(context(x, y, seed=2))
    assert fd_infinity.SCORES.keys() == compute(context(x, y)).keys()


@pytest.mark.parametrize(("real_count", "fake_count"), [(150, 150), (120, 400)])
def test_the_whole_value_on_the_same_subsets(real_count: int, fake_count: int) -> None:
    """Fréchet distances by SciPy's matrix root and NumPy's covariance, the line by NumPy's least squares."""
    random = np.random.default_rng(2)
    real = random.normal(size=(real_count, D)).astype(np.float32)
    mixing = np.eye(D) + 0.2 * random.normal(size=(D, D))
    fake = (random.normal(size=(fake_count, D)) @ mixing + 0.5).astype(np.float32)
    smallest, largest = max(D + 1, min(real_count, fake_count) // 10), min(real_count, fake_count)
    subsets = np.random.default_rng(3)
    inverse, distances = [], []
    for i in range(15):
        size = round(smallest + (largest - smallest) * i / 14)
        for _ in range(2):
            x, y = (s[subsets.choice(len(s), size, replace=False)].astype(float) for s in (real, fake))
            distances.append(closed_form(x.mean(0), np.cov(x.T), y.mean(0), np.cov(y.T)))
            inverse.append(1 / size)
    found = compute(context(real, fake, seed=3))["fd_infinity"]
    assert found == pytest.approx(np.polyfit(inverse, distances, 1)[1], rel=1e-4)
    assert found < 0.95 * distances[-1]  # the line is not flat
