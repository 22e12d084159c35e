import numpy as np
import pytest
import torch
from torchmetrics.image.kid import poly_mmd

from genray.metrics.kernel import NUM_SUBSETS, compute, squared_mmd
from tests.metrics.fakes import context


def unbiased_mmd(x: np.ndarray, y: np.ndarray) -> float:
    """Gretton et al. 2012, eq. 3, by loops, with k(a, b) = (a·b / D + 1)³."""

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / len(a) + 1) ** 3)

    m = len(x)
    within = sum(k(z[i], z[j]) for z in (x, y) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return within - 2 * sum(k(a, b) for a in x for b in y) / m**2


def test_loops_over_the_same_subsets_give_the_same() -> None:
    random = np.random.default_rng(1)
    real, fake = random.normal(size=(21, 4)).astype("f4"), random.normal(0.5, 1, size=(18, 4)).astype("f4")
    subsets, values = np.random.default_rng(7), []
    for _ in range(NUM_SUBSETS):
        x = real[subsets.choice(21, 9, replace=False)].astype(float)
        values.append(unbiased_mmd(x, fake[subsets.choice(18, 9, replace=False)].astype(float)))
    result = compute(context(real, fake, seed=7))
    assert result["kernel"] == pytest.approx(np.mean(values))
    assert result["kernel_std"] == pytest.approx(np.std(values))


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_its_mean_is_the_closed_form_for_gaussians(shift: float) -> None:
    """In one dimension E k(x, y) is E (xy + 1)³, from the moments of N(a, 1) and N(b, 1); 0 is left for equal ones."""

    def mean_kernel(a: float, b: float) -> float:
        first, second, third = (lambda m: m), (lambda m: m**2 + 1), (lambda m: m**3 + 3 * m)
        return third(a) * third(b) + 3 * second(a) * second(b) + 3 * first(a) * first(b) + 1

    random, values = np.random.default_rng(0), []
    for seed in range(36):
        real, fake = random.normal(0, 1, (100, 1)), random.normal(shift, 1, (100, 1))
        values.append(compute(context(real, fake, seed=seed))["kernel"])
    expected = mean_kernel(0, 0) + mean_kernel(shift, shift) - 2 * mean_kernel(0, shift)
    assert np.mean(values) == pytest.approx(expected, abs=3 * np.std(values) / 6)
    assert min(values) < 0  # as an unbiased estimate must be at times


def test_the_seed_decides_and_the_global_state_stays() -> None:
    random = np.random.default_rng(0)
    real, fake = random.normal(size=(50, 4)), random.normal(size=(50, 4))
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    assert compute(context(real, fake, seed=1)) == compute(context(real, fake, seed=1))
    assert compute(context(real, fake, seed=1)) != compute(context(real, fake, seed=2))
    assert torch.equal(torch_before, torch.get_rng_state())
    assert (numpy_before == np.random.get_state()[1]).all()


def test_torchmetrics_gives_the_same_to_the_last_bit() -> None:
    random = torch.Generator().manual_seed(0)
    real, fake = (torch.randn(50, 16, generator=random, dtype=torch.float64) + shift for shift in (0, 0.3))
    assert float(squared_mmd(real, fake)) == float(poly_mmd(real, fake))
