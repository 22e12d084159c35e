"""Densities, optima and counts of the study against closed forms, quadrature and draws."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor, nn

from genray import studies
from genray.models.base import GenerativeModel
from genray.nn.noise import Noise
from genray.studies import _discriminator as discriminators
from genray.studies import optimal_discriminator as study
from genray.studies._densities import Draws, Mixture, even, grid, line, ring, scaled, square
from genray.studies._kernel_density import KernelDensity
from genray.studies._modes import TARGETS, count_modes, modes_of_noise
from genray.studies._monotone import MonotoneGenerator, Noised
from genray.studies._pairs import PAIRS

UNEVEN = Mixture(((-0.5,), (0.4,)), (0.1, 0.2), (0.3, 0.7))


def test_density_is_that_of_scipy() -> None:
    x = np.linspace(-1, 1, 7)
    expected = 0.3 * stats.norm(-0.5, 0.1).pdf(x) + 0.7 * stats.norm(0.4, 0.2).pdf(x)
    np.testing.assert_allclose(UNEVEN.density(x[:, None]), expected, rtol=1e-12)
    points = np.array([[0.1, 0.2], [0.5, -0.3]])
    expected = stats.multivariate_normal([0.3, 0.0], 0.04 * np.eye(2)).pdf(points)
    np.testing.assert_allclose(even([(0.3, 0.0)], 0.2).density(points), expected, rtol=1e-12)


def test_draws_are_of_the_density() -> None:
    draws = UNEVEN.draw(20_000, Noise("draws"))[:, 0].numpy()

    def cdf(x: float) -> float:
        return 0.3 * stats.norm(-0.5, 0.1).cdf(x) + 0.7 * stats.norm(0.4, 0.2).cdf(x)

    assert stats.kstest(draws, cdf).pvalue > 0.01


def test_batches_are_functions_of_seed_and_step() -> None:
    batches, again, other = (Draws(UNEVEN, seed=s, batch_size=8, steps_per_epoch=2) for s in (0, 0, 1))
    assert batches[3]["image"].shape == (8, 1, 1, 1)
    torch.testing.assert_close(batches[3]["image"], again[3]["image"], rtol=0, atol=0)
    assert not torch.equal(batches[3]["image"], batches[4]["image"])
    assert not torch.equal(batches[3]["image"], other[3]["image"])


def test_blurred_and_scaled_densities_are_those_of_blurred_and_scaled_draws() -> None:
    blurred = UNEVEN.blurred(0.3)
    np.testing.assert_allclose(blurred.sigmas, [math.sqrt(0.01 + 0.09), math.sqrt(0.04 + 0.09)])
    x = np.array([[0.1], [0.7]])
    np.testing.assert_allclose(scaled(UNEVEN, 0.5).density(0.5 * x), 2 * UNEVEN.density(x), rtol=1e-12)


def test_targets_have_the_shape_of_veegans() -> None:
    means = np.array(ring().means)
    np.testing.assert_allclose(np.linalg.norm(means, axis=1), 1)
    assert len(means) == 8
    assert {abs(round(v)) for mean in grid().means for v in mean} == {0, 2, 4}
    assert len(grid().means) == 25
    for target in TARGETS.values():
        assert abs(np.array(target.means)).max() + 6 * max(target.sigmas) < 1


def test_jensen_shannon_of_gaussians_far_apart_alike_and_near() -> None:
    """ln 2, 0, and what scipy's adaptive quadrature gives."""
    x = line(-8, 8, 4001)
    p, far = even([(-5.0,)], 0.3).density(x.points_ND), even([(5.0,)], 0.3).density(x.points_ND)
    assert discriminators.jensen_shannon_nats(p, far, x.cell) == pytest.approx(math.log(2), abs=1e-9)
    assert discriminators.jensen_shannon_nats(p, p, x.cell) == 0
    a, b = stats.norm(0, 1), stats.norm(1, 0.5)

    def integrand(v: float) -> float:
        m = (a.pdf(v) + b.pdf(v)) / 2
        return float(0.5 * a.pdf(v) * np.log(a.pdf(v) / m) + 0.5 * b.pdf(v) * np.log(b.pdf(v) / m))

    expected = integrate.quad(integrand, -7, 7)[0]
    p, q = even([(0.0,)], 1.0).density(x.points_ND), even([(1.0,)], 0.5).density(x.points_ND)
    assert discriminators.jensen_shannon_nats(p, q, x.cell) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", PAIRS)
def test_no_other_discriminator_has_a_higher_value_than_the_optimal_one(name: str) -> None:
    pair = PAIRS[name]
    at = line(-2, 2, 2001) if pair.data.dimensions == 1 else square(-2, 2, 201)
    p, q = pair.data.density(at.points_ND), pair.generated.density(at.points_ND)
    assert p.sum() * at.cell == pytest.approx(1, abs=1e-5)
    assert q.sum() * at.cell == pytest.approx(1, abs=1e-5)
    best = discriminators.compare(
        discriminators.optimal(p, q).clip(1e-12, 1 - 1e-12), pair.data, pair.generated, at, Noise(0)
    )
    assert best.error < 1e-9
    assert best.value == pytest.approx(best.bound, abs=1e-6)
    assert best.value_at_optimum == pytest.approx(best.bound, abs=4 * best.standard_error)
    worse = (discriminators.optimal(p, q) + 0.05 * np.sin(9 * at.points_ND[:, 0])).clip(1e-12, 1 - 1e-12)
    assert discriminators.compare(worse, pair.data, pair.generated, at, Noise(0)).value < best.bound


def test_a_few_steps_bring_a_discriminator_closer() -> None:
    pair, x = PAIRS["drawn"], line(-1.5, 1.5, 301).points_ND
    best = discriminators.optimal(pair.data.density(x), pair.generated.density(x))
    known = discriminators.where_known(pair.data.density(x), pair.generated.density(x))
    new = discriminators.new_discriminator(1, 32, seed=0)
    before = abs(discriminators.judged(new, x) - best)[known].mean()
    trained = discriminators.train(new, pair.data, pair.generated, steps=120, batch_size=128, seed=0)
    assert abs(discriminators.judged(trained, x) - best)[known].mean() < 0.2 * before


@pytest.fixture
def bent() -> MonotoneGenerator:
    """Not the generator's start, which is close to a straight line."""
    generator = MonotoneGenerator()
    with torch.no_grad():
        generator.height.copy_(torch.linspace(-4, -1.5, len(generator.height)))
        generator.offset.fill_(-0.2)
    return generator


def test_density_of_the_monotone_generator_is_that_of_its_draws(bent: MonotoneGenerator) -> None:
    at = line(-1 + 1e-5, 1 - 1e-5, 20_001)
    p = bent.density(at.points_ND)
    assert p.sum() * at.cell == pytest.approx(1, abs=1e-3)
    draws = bent.draw(20_000, Noise("draws"))[:, 0].numpy()
    cdf = p.cumsum() * at.cell
    assert stats.kstest(draws, lambda x: np.interp(x, at.points_ND[:, 0], cdf)).pvalue > 0.01
    assert bent.density(np.array([[-1.0], [1.0], [1.5]])).tolist() == [0, 0, 0]


def test_density_with_noise_is_the_convolution(bent: MonotoneGenerator) -> None:
    """Of the density by change of variables with the noise's, by a sum over x in place of z; and it integrates to 1."""
    h, x = 0.1, np.linspace(-2, 2, 401)
    fine = np.linspace(-0.9999, 0.9999, 40_001)
    exact = bent.density(fine[:, None]) * (fine[1] - fine[0])
    kernel = np.exp(-(((x[:, None] - fine) / h) ** 2) / 2) / (h * np.sqrt(2 * np.pi))
    noised = Noised(bent, h)
    np.testing.assert_allclose(noised.density(x[:, None]), kernel @ exact, atol=2e-3)
    assert noised.density(x[:, None]).sum() * (x[1] - x[0]) == pytest.approx(1, abs=1e-4)
    draws = noised.draw(100_000, Noise("noised")).numpy()[:, 0]
    assert draws.mean() == pytest.approx((x * noised.density(x[:, None])).sum() * (x[1] - x[0]), abs=0.01)


def test_monotone_generator_increases_and_is_what_the_gan_calls(bent: MonotoneGenerator) -> None:
    z = torch.linspace(-5, 5, 1001)[:, None]
    y = bent(z)
    assert y.shape == (1001, 1, 1, 1)
    assert (y.flatten().diff() > 0).all()


class Ring(GenerativeModel):
    """Draws of a density that is known, as if of a generator."""

    def __init__(self) -> None:
        nn.Module.__init__(self)

    def phases(self) -> tuple[()]:
        return ()

    def sample(self, n: int, noise: Noise, *, label: Tensor | None = None) -> Tensor:
        return ring(5, 0.6, 0.05).draw(n, noise)[..., None, None]


def test_kernel_density_misses_the_blurred_density_by_its_standard_error() -> None:
    at = square(-1.2, 1.2, 61)
    exact = ring(5, 0.6, 0.05).blurred(0.1)
    estimate = KernelDensity(Ring(), 0.1, num_draws=200_000, side=2.0, cells=200)
    p = exact.density(at.points_ND)
    dense = p > 0.05 * p.max()
    errors = (estimate.density(at.points_ND) - p)[dense] / estimate.standard_error(at.points_ND)[dense]
    assert abs(errors).max() < 5
    assert 0.5 < errors.std() < 1.5
    draws = estimate.draw(20_000, Noise("draws")).numpy()
    expected = exact.draw(20_000, Noise("others")).numpy()
    assert stats.ks_2samp(draws[:, 0], expected[:, 0]).pvalue > 0.01


def test_mass_beyond_the_grid_does_not_lift_a_value_above_its_maximum() -> None:
    """A grid that ends in the middle of both densities: at D* the value is the bound, elsewhere below it by the
    Kullback-Leibler divergences of coins, p + q of each point."""
    data, generated, at = even([(0.0,)], 0.5), even([(0.3,)], 0.4), line(-0.5, 0.5, 501)
    p, q = data.density(at.points_ND), generated.density(at.points_ND)
    best, flat = discriminators.optimal(p, q), np.full(len(p), 0.4)
    assert p.sum() * at.cell < 0.8
    found = discriminators.compare(best, data, generated, at, Noise(0))
    assert found.value == pytest.approx(found.bound, abs=1e-9)
    other = discriminators.compare(flat, data, generated, at, Noise(0))
    coins = [stats.entropy([b, 1 - b], [0.4, 0.6]) for b in best]
    assert other.bound - other.value == pytest.approx(float(((p + q) * coins).sum() * at.cell))


def test_a_value_at_the_optimum_is_judged_by_its_standard_error() -> None:
    run = {"error": 0.01, "bound": -1.3, "value": -1.3018, "value_at_optimum": -1.3009, "standard_error": 0.0004}
    _, below = study._checks("Here", [run], 1)
    assert below.verdict == "does not hold"  # 2.25 of its standard errors, where one comparison is allowed 1.96
    assert below.found.endswith("the trained D stays 0.0018 below it at most")
    assert "at most 0.0009 nats and 2.2 standard errors from quadrature, where 2.0 are allowed" in below.found
    assert study._checks("Here", [run], 17)[1].verdict == "holds"  # stats.norm.isf(0.025 / 17) = 2.97
    _, far = study._checks("Here", [run | {"value": -1.33}], 17)
    assert far.verdict == "does not hold"


def test_noise_finds_the_modes_that_hit_or_miss_says() -> None:
    """Of 2,500 draws from the square of area 4, each falls within 3σ of a mode with probability π (3σ)² / 4; a mode is
    found where one does. 4 standard errors are allowed."""
    for target, mixture in TARGETS.items():
        chance = math.pi * (3 * mixture.sigmas[0]) ** 2 / 4
        found = [modes_of_noise(target, seed) for seed in range(100)]
        count, hit = len(mixture.means), 1 - (1 - chance) ** 2500
        modes, share = (np.mean([run[key] for run in found]) for key in ("modes", "high_quality"))
        assert modes == pytest.approx(count * hit, abs=4 * (count * hit * (1 - hit) / 100) ** 0.5)
        assert share == pytest.approx(count * chance, rel=4 / (count * chance * 250_000) ** 0.5)


def test_all_modes_of_the_ring_are_asked_of_pacgan_where_noise_lacks_some() -> None:
    def runs(*modes: int) -> list[dict[str, int]]:
        return [{"modes": count} for count in modes]

    few, whole = runs(5, 6, 8, 5, 4), runs(8, 8, 8, 8, 8)
    ring = {"pacgan": whole, "minibatch_discrimination": few, "noise": few}
    check = study._check_of_modes(ring)
    assert check.verdict == "holds"
    assert check.found.endswith("PacGAN, 2 a pack in 5, minibatch discrimination in 1, uniform noise in 1")
    assert study._check_of_modes(ring | {"noise": whole}).verdict == "does not hold"
    assert study._check_of_modes(ring | {"pacgan": few, "minibatch_discrimination": whole}).verdict == "does not hold"


def test_modes_are_counted_within_three_sigma() -> None:
    target = TARGETS["ring"]
    means, sigma = np.array(target.means), target.sigmas[0]
    assert count_modes(means, target) == (8, 1.0)
    assert count_modes(means[:3], target) == (3, 1.0)
    just_in, just_out = (means[i : i + 1] + np.array([[by * sigma, 0]]) for i, by in enumerate((2.99, 3.01)))
    assert count_modes(np.concatenate([just_in, just_out]), target) == (1, 0.5)
    assert count_modes(np.zeros((4, 2)), target) == (0, 0.0)
    draws = target.draw(5000, Noise("draws")).double().numpy()
    found = count_modes(draws, target)
    assert found.modes == 8
    assert found.high_quality == pytest.approx(1 - math.exp(-4.5), abs=0.006)  # a Rayleigh's, within 3σ


@pytest.mark.parametrize("budget", ["quick", "full"])
def test_every_part_has_a_name_of_its_own(budget: str) -> None:
    parts = studies.load("optimal_discriminator").parts(budget)
    assert len({part.name for part in parts}) == len(parts) == 55


@pytest.mark.slow
def test_smoke_parts_and_answer() -> None:
    """Every part with next to no work, and the answer made of them."""
    little = {"steps": 4, "looks": 2, "stages": [1, 2], "settle_steps": 4}
    small = {"steps": 20, "batch_size": 32}
    outcomes = {}
    for part in study.parts("quick"):
        arguments = dict(part.arguments)
        if part.name.split("-")[0] in ("ring", "grid"):
            arguments |= small
            name = f"{arguments['target']} {arguments['model']}"
        elif part.name.startswith("pair"):
            arguments |= small
            name = arguments["pair"]
        else:
            arguments |= little
            name = part.name
        outcomes[part.name] = outcomes.setdefault(name, None) or part.run(**arguments)
        outcomes[name] = outcomes[part.name]
    answer = study.answer(outcomes, "quick")
    assert len(answer.checks) == 7
    assert answer.checks[0].verdict == "does not hold"
    assert [len(table.rows) for table in answer.tables] == [4, 6, 10]
    assert answer.summary[1].count(" %)") == 5
    assert len(answer.figures) == 7
