"""The study's measurements against exact variances, and its answer on made-up and on real, small outcomes."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from genray.nn.noise import Noise
from genray.nn.posteriors import Bernoulli
from genray.studies import _gradient_answer as answers
from genray.studies import _gradient_spread as spreads
from genray.studies import _gradient_tables as tables
from genray.studies import gradient_variance as study
from genray.studies._gradient_ratio import ratios
from tests.models.steps import digit_batch, make

LATENT = 3
CODES = torch.tensor(list(itertools.product([0.0, 1.0], repeat=LATENT)))  # every code there is (8, Z)


def exact_moments(model, images) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Var(f s), Var(s) and Cov(f s, s), (B, Z) each, as sums over all codes, with f = ln p(x, z) − ln q(z|x)."""
    z = CODES[:, None].expand(-1, len(images), -1)
    q: Bernoulli = model.posterior(images)
    log_q = q.log_prob(z)
    f = model.log_likelihood(images)(z) + q.prior_log_prob(z) - log_q
    s = q.scores(z)
    probability, fs = log_q.exp()[..., None], f[..., None] * s

    def covariance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (probability * a * b).sum(0) - (probability * a).sum(0) * (probability * b).sum(0)

    return covariance(fs, fs), covariance(s, s), covariance(fs, s)


def test_ratios_are_those_of_the_exact_moments() -> None:
    model, images = make("discrete_vae", hidden=16, latent=LATENT), digit_batch(6)["image"]
    with torch.no_grad():
        ff, ss, fs = exact_moments(model, images)
    found = ratios(model, images, num_draws=8_000, key="test")
    expected = {
        "component": (1 - fs.square() / (ff * ss)).flatten(),
        "image": 1 - fs.sum(1).square() / (ff.sum(1) * ss.sum(1)),
    }
    for kind, exact in expected.items():
        assert len(found[kind]) == len(exact)
        for point, value in zip(found[kind], exact.tolist(), strict=True):
            for name in ("predicted", "measured"):
                assert point[name] == pytest.approx(value, abs=4.5 * point[f"{name}_error"])
                assert point[f"{name}_error"] < 0.3 * value


def test_variance_of_the_score_function_is_the_exact_one() -> None:
    """Of the head's bias, the encoder's last parameter, for one image: Σ_j Var(f s_j) / n."""
    model, images = make("discrete_vae", hidden=16, latent=LATENT), digit_batch(1)["image"]
    with torch.no_grad():
        expected = exact_moments(model, images)[0].sum().item()
    way = spreads.Way("score_function", "sampled")
    gradients = torch.stack([spreads.gradient(model, images, way, 4, Noise(k)) for k in range(400)])
    variance = gradients[:, -LATENT:].var(0).sum().item()
    assert variance == pytest.approx(expected / 4, rel=0.3)


def spread(way: spreads.Way, n: int, variance: float, milliseconds: float) -> dict[str, object]:
    return {
        **way._asdict(),
        "num_draws": n,
        "variance": variance,
        "milliseconds": milliseconds,
        "projection": 1.0,
        "standard_error": 0.1,
    }


def test_price_goes_on_as_1_over_n_and_in_a_straight_line() -> None:
    target, slow = tables.TARGET["vae"], spreads.Way("score_function", "sampled")
    of_target = [spread(target, n, 2.0 / n, 1 + 0.5 * n) for n in (1, 2, 4)]
    of_slow = [spread(slow, n, 800.0 / n, 1 + 0.25 * n) for n in (1, 2, 4)]
    outcome = {"model": "vae", "stages": [{"epoch": 1, "spreads": [*of_target, *of_slow]}]}
    assert tables.price(outcome, slow) == pytest.approx((400, 101))
    assert tables.price(outcome, target) == pytest.approx((1, 1.5))


def points(*distances: float) -> list[dict[str, float]]:
    """Measured this many standard errors of the difference away from the prediction."""
    return [
        {"predicted": 0.2, "predicted_error": 0.03, "measured": 0.2 + 0.05 * d, "measured_error": 0.04}
        for d in distances
    ]


def test_checks_hold_and_fail_where_they_should() -> None:
    assert answers._one_a_each(points(*[1.0] * 20)).verdict == "holds"
    assert answers._one_a_each(points(*[0.0] * 19, 3.5)).verdict == "does not hold"  # together 95 % of 20: 3.02
    assert answers._coverage(points(*[0.5] * 19, 2.5)).verdict == "holds"
    assert answers._coverage(points(*[0.5] * 8, 2.5, -2.5)).verdict == "does not hold"


def with_powers(*powers: Sequence[float]) -> list[dict[str, Any]]:
    """A training each, of which the variance falls by these powers of n, stage by stage."""
    way = spreads.LADDER["vae"]["score function"]
    return [
        {
            "model": "vae",
            "stages": [
                {"epoch": epoch, "replicates": 30, "spreads": [spread(way, n, n**power, 1) for n in (1, 2, 4)]}
                for epoch, power in enumerate(of_stages)
            ],
        }
        for of_stages in powers
    ]


def test_a_power_of_n_is_held_against_a_margin_by_trainings_not_by_stages() -> None:
    """Scipy's interval of the trainings' means; pooled, nine stages would lie within the margin of 0.05."""
    falls = answers._falls_as_1_over_n
    assert falls(with_powers([-1.0], [-1.01], [-1.0])).verdict == "holds"
    assert falls(with_powers([-0.5], [-0.51], [-0.5])).verdict == "does not hold"
    powers = [[-1.03, -1.03, -1.03], [-0.99, -1.0, -0.98], [-1.0, -0.98, -1.0]]
    low, high = stats.t.interval(0.95, 2, np.mean(powers), stats.sem(np.mean(powers, axis=1)))
    assert low < -1.05
    assert stats.t.interval(0.95, 8, np.mean(powers), stats.sem(np.ravel(powers)))[0] > -1.05
    wide = falls(with_powers(*powers))
    assert wide.verdict == "not decided"
    assert wide.found == f"n to the power of {low:.3f} to {high:.3f}, the 95 % interval of 3 trainings"


def test_the_size_of_a_bias_that_is_not_excluded_is_told() -> None:
    """Two means of 3 differ from the first by nothing but their standard errors of 0.1: √2 · 0.1 · t of scipy's, in the
    gradient's length of 1."""
    outcomes = with_powers([-1.0])
    check = answers._unbiased(outcomes)
    assert check.verdict == "holds"
    allowed = stats.t.ppf(1 - 0.025 / 2, 29)
    assert check.found.endswith(f"length at most: score function {2**0.5 * 0.1 * allowed:.0%}")
    outcomes[0]["stages"][0]["spreads"][1]["projection"] = 3.0
    assert answers._unbiased(outcomes).verdict == "does not hold"


def test_parts_have_names_of_their_own() -> None:
    for budget in ("quick", "full"):
        names = [part.name for part in study.parts(budget)]
        assert len(set(names)) == len(names)
        assert not any(set(name) & set(" ,/") for name in names)


def test_answer_of_a_small_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real parts, of few replicates: figures and tables are there, and the theory's checks hold."""
    small = study.Work(1, 3, 500, (1,), (0, 1))
    monkeypatch.setitem(study.WORK, "quick", small)
    monkeypatch.setattr(spreads, "NUM_DRAWS", (1, 2, 4, 8))
    chosen = [part for part in study.parts("quick") if part.arguments.get("label", "leave-one-out") == "leave-one-out"]
    outcomes = {part.name: part.run(**part.arguments) for part in chosen}
    answer = study.answer(outcomes, "quick")
    assert [figure.name for figure in answer.figures] == ["variance", "ratio", "price", "training"]
    assert answer.checks[0].verdict == "holds", answer.checks[0].found
    for table in answer.tables:
        assert all(len(row) == len(table.columns) for row in table.rows)
    first = outcomes["gradients-vae-0"]["stages"][0]["spreads"]
    by_way = {(s["estimator"], s["kl_term"]): s["variance"] for s in first if s["num_draws"] == 8}
    assert by_way["score_function", "sampled"] > 5 * by_way["leave_one_out", "sampled"]
    assert by_way["leave_one_out", "exact"] > by_way["reparameterization", "exact"]
    assert all(math.isfinite(value) for value in by_way.values())
