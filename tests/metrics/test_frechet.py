import numpy as np
import pytest
import scipy.linalg
import torch
from torchmetrics.image.fid import FrechetInceptionDistance

from genray.metrics.frechet import compute, distance
from tests.metrics.fakes import context


def reference(real: np.ndarray, fake: np.ndarray) -> float:
    """Heusel et al. 2017, eq. 6, by SciPy's matrix square root."""
    real, fake = real.astype(np.float32).astype(float), fake.astype(np.float32).astype(float)
    cov_real, cov_fake = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    root = scipy.linalg.sqrtm(cov_real @ cov_fake).real
    return float(np.sum((real.mean(0) - fake.mean(0)) ** 2) + np.trace(cov_real + cov_fake - 2 * root))


@pytest.mark.parametrize(("n", "m"), [(270, 270), (500, 300)])
def test_scipys_square_root_gives_the_same(n: int, m: int) -> None:
    random = np.random.default_rng(0)
    real = random.normal(size=(n, 32)) @ random.normal(size=(32, 32)) * 0.2
    fake = random.normal(0.3, 1, size=(m, 32)) @ random.normal(size=(32, 32)) * 0.2
    assert compute(context(real, fake))["frechet"] == pytest.approx(reference(real, fake), rel=1e-6)


def test_closed_form_of_gaussians_with_one_covariance() -> None:
    """Equal covariances leave |mu - nu|²; scaled ones add D (s - 1)²."""
    random = np.random.default_rng(0)
    real = random.normal(size=(1_000, 8))
    real = (real - real.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(real, rowvar=False))).T  # exactly N(0, I)
    shift = np.arange(8) / 10
    assert compute(context(real, real + shift))["frechet"] == pytest.approx(np.sum(shift**2), rel=1e-5)
    assert compute(context(real, 3 * real))["frechet"] == pytest.approx(8 * (3 - 1) ** 2, rel=1e-5)


def test_equal_sets_are_at_zero_and_order_does_not_matter() -> None:
    random = np.random.default_rng(0)
    real, fake = random.normal(size=(100, 32)), random.normal(1, 2, size=(100, 32))
    assert compute(context(real, real))["frechet"] == pytest.approx(0, abs=1e-6)
    forth, back = compute(context(real, fake)), compute(context(fake, real[::-1]))
    assert forth["frechet"] == pytest.approx(back["frechet"])


def test_collapse_leaves_the_real_variance_and_the_shift() -> None:
    """Tr S + |mu - nu|² where all samples are one; there are fewer images than dimensions."""
    real = np.random.default_rng(0).normal(size=(20, 32)).astype("f4").astype(float)
    expected = real.var(0, ddof=1).sum() + np.sum((real.mean(0) - 1) ** 2)
    assert compute(context(real, np.ones((20, 32))))["frechet"] == pytest.approx(expected, rel=1e-4)


class Features(torch.nn.Module):
    """Features go in where torchmetrics expects images."""

    num_features = 16

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features


@pytest.mark.parametrize("n", [12, 300])  # fewer than dimensions too
def test_torchmetrics_gives_the_same_to_the_last_bit(n: int) -> None:
    """Results that were measured by it stay comparable."""
    random = torch.Generator().manual_seed(n)
    real, fake = (torch.randn(n, 16, generator=random, dtype=torch.float64) * scale for scale in (1, 1.3))
    metric = FrechetInceptionDistance(feature=Features(), sync_on_compute=False)
    metric.update(real, real=True)
    metric.update(fake, real=False)
    assert distance(real, fake) == float(metric.compute())
