import contextlib
import io

import numpy as np
import pytest
import torch
from prdc import compute_prdc

from genray.metrics.prdc import NEIGHBOURS, compute, squared_radii
from tests.metrics.fakes import context


@pytest.mark.parametrize(("n", "m", "shift"), [(300, 300, 0.0), (270, 400, 0.5), (600, 90, 1.5)])
def test_the_authors_package_gives_the_same(n: int, m: int, shift: float) -> None:
    random = np.random.default_rng(n)
    real, fake = random.normal(size=(n, 8)).astype("f4"), random.normal(shift, 1.2, size=(m, 8)).astype("f4")
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = compute_prdc(real.astype(float), fake.astype(float), nearest_k=NEIGHBOURS)
    assert compute(context(real, fake)) == pytest.approx(theirs, abs=1e-12)


def test_radii_by_sorting() -> None:
    x = torch.randn(700, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = (x[:, None] - x).square().sum(2).sort(1).values[:, 4]
    torch.testing.assert_close(squared_radii(x, 4), expected)


def test_equal_sets_reach_every_end_of_the_scale() -> None:
    real = np.random.default_rng(0).normal(size=(60, 4))
    result = compute(context(real, real))
    assert (result["precision"], result["recall"], result["coverage"]) == (1, 1, 1)
    assert result["density"] == pytest.approx(1, abs=0.02)  # each image lies in its own ball, and on average in k - 1


def test_sets_far_apart_share_nothing() -> None:
    real = np.random.default_rng(0).normal(size=(60, 4))
    assert set(compute(context(real, real + 100)).values()) == {0}


def test_a_dropped_mode_costs_recall_and_coverage_not_precision() -> None:
    random = np.random.default_rng(0)
    left, right = random.normal(-10, 1, (200, 2)), random.normal(10, 1, (200, 2))
    result = compute(context(np.concatenate([left, right]), random.normal(-10, 1, (400, 2))))
    assert result["precision"] > 0.9
    assert result["recall"] == pytest.approx(0.5, abs=0.05)
    assert result["coverage"] == pytest.approx(0.5, abs=0.05)


def test_rotation_and_scale_change_nothing() -> None:
    random = np.random.default_rng(0)
    real, fake = random.normal(size=(100, 3)), random.normal(0.5, 1, size=(100, 3))
    rotation = np.linalg.qr(random.normal(size=(3, 3)))[0] * 2.5
    assert compute(context(real @ rotation, fake @ rotation)) == pytest.approx(compute(context(real, fake)), abs=0.011)
