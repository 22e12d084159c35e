"""Tests of few pairs against scipy's, brute force, and their level by simulation."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from genray.studies._paired import beyond_p, equivalence_p, holm, sign_flip_p, smallest_flip_p, two_sided_p

rng = np.random.default_rng(0)
DRAWS = [rng.normal(mean, spread, n).tolist() for mean in (0, -1, 3) for spread in (1, 4) for n in (2, 5)]
samples = pytest.mark.parametrize("d", DRAWS)


@samples
def test_t_tests_are_those_of_scipy(d: list[float]) -> None:
    b = rng.normal(0, 3, len(d))
    assert two_sided_p(d) == pytest.approx(stats.ttest_rel(np.add(d, b), b).pvalue)


@samples
@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_tests_against_margins_are_those_of_scipy_on_the_contrasts(d: list[float], spread: float) -> None:
    """A margin that is the same for all pairs is an exact one; others bring their own error."""
    for mean in (0.0, 0.5, 2.0):
        m = [mean + spread * draw for draw in rng.normal(0, 1, len(d))]
        upper, lower = (
            stats.ttest_1samp(np.add(m, side), 0, alternative="greater").pvalue for side in (d, np.negative(d))
        )
        assert equivalence_p(d, m) == pytest.approx(max(upper, lower))
        above, below = (
            stats.ttest_1samp(np.subtract(side, m), 0, alternative="greater").pvalue for side in (d, np.negative(d))
        )
        assert beyond_p(d, m) == pytest.approx(min(1.0, 2 * min(above, below)))


@samples
def test_sign_flips_are_those_of_scipy(d: list[float]) -> None:
    found = stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_p(d) == pytest.approx(found.pvalue)


def test_no_five_pairs_give_a_smaller_sign_flip_p_than_is_said() -> None:
    draws = np.random.default_rng(1).normal(5, 1, (200, 5))
    assert min(sign_flip_p(d.tolist()) for d in draws) == smallest_flip_p(5) == 0.0625


def test_sign_flips_of_tied_differences_count_what_is_as_far() -> None:
    assert sign_flip_p([0.1, 0.1, 0.1, -0.1, 0.1]) == 12 / 32  # no sign other, or one, and their mirror images


def test_one_pair_and_equal_differences() -> None:
    assert two_sided_p([-4.0]) == beyond_p([-4.0], [1.0]) == 1.0
    assert equivalence_p([0.1], [1.0]) >= 0.5
    assert two_sided_p([0.0, 0.0]) == 1.0
    assert two_sided_p([1.5, 1.5]) == 0.0
    assert equivalence_p([0.5, 0.5], [1.0, 1.0]) == 0.0
    assert equivalence_p([1.5, 1.5], [1.0, 1.0]) == 1.0


def test_holm_is_the_closed_test_of_bonferroni() -> None:
    """A hypothesis falls where every set that it is in falls: the largest of min(p) · size over those sets."""
    for _ in range(20):
        p = dict(enumerate(rng.uniform(0, 0.2, 6).tolist()))
        sets = [s for size in range(1, 7) for s in combinations(p, size)]
        closed = {i: max(min(1.0, len(s) * min(p[j] for j in s)) for s in sets if i in s) for i in p}
        assert holm({str(i): value for i, value in p.items()}) == pytest.approx({str(i): v for i, v in closed.items()})


@pytest.mark.parametrize("mean", [0.0, 1.0, -1.0])
def test_level_of_five_pairs(mean: float) -> None:
    """With the true mean on what is tested, 5 % of draws are called significant; 4 standard errors are allowed. Margins
    are known no better than differences."""
    draws = [d.tolist() for d in np.random.default_rng(2).normal(mean, 0.3, (3000, 5))]
    margins = [m.tolist() for m in np.random.default_rng(3).normal(1, 0.3, (3000, 5))]
    error = 4 * (0.05 * 0.95 / 3000) ** 0.5
    if mean == 0:
        assert np.mean([two_sided_p(d) < 0.05 for d in draws]) == pytest.approx(0.05, abs=error)
    else:
        found = list(zip(draws, margins, strict=True))
        assert np.mean([equivalence_p(d, m) < 0.05 for d, m in found]) == pytest.approx(0.05, abs=error)
        assert np.mean([beyond_p(d, m) < 0.05 for d, m in found]) == pytest.approx(0.025, abs=error)
