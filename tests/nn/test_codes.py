import math

import pytest
import torch
from scipy import stats

from genray.nn import codes
from genray.nn.noise import Noise

NUM = 40_000


def test_reparameterized_draws_follow_the_posterior() -> None:
    mu, logvar = torch.tensor([1.5, -2.0]).expand(NUM, 2), torch.tensor([0.4, -3.0]).expand(NUM, 2)
    z = codes.reparameterize(mu, logvar, Noise("posterior"))
    for i in range(2):
        expected = stats.norm(mu[0, i].item(), math.exp(0.5 * logvar[0, i].item()))
        assert stats.kstest(z[:, i].numpy(), expected.cdf).pvalue > 0.01


def test_gradients_of_a_reparameterized_mean_are_exact() -> None:
    """E[z²] = μ² + σ², so d/dμ = 2μ and d/d ln σ² = σ²."""
    mu, logvar = torch.tensor(0.7, requires_grad=True), torch.tensor(-1.0, requires_grad=True)
    codes.reparameterize(mu.expand(NUM, 1), logvar.expand(NUM, 1), Noise("gradient")).square().mean().backward()
    assert mu.grad.item() == pytest.approx(1.4, abs=0.02)
    assert logvar.grad.item() == pytest.approx(math.exp(-1), abs=0.02)


@pytest.mark.parametrize("name", codes.PRIORS)
def test_priors_are_centred_where_they_say_and_depend_on_the_noise_alone(name: str) -> None:
    draw = codes.PRIORS[name]
    assert draw(6, 2, Noise(0)).shape == (6, 2)
    assert torch.equal(draw(6, 2, Noise(0)), draw(6, 2, Noise(0)))
    whole, parts = draw(6, 2, Noise(1)), [draw(3, 2, Noise(1, rank=rank, world_size=2)) for rank in range(2)]
    assert torch.equal(whole, torch.cat(parts))


def test_gaussian_prior_is_standard() -> None:
    z = codes.gaussian(NUM, 3, Noise("gaussian"))
    torch.testing.assert_close(z.T.cov(), torch.eye(3), atol=0.03, rtol=0)
    assert stats.kstest(z.flatten().numpy(), "norm").pvalue > 0.01


def test_mixture_has_the_moments_of_its_ten_petals() -> None:
    z = codes.mixture(NUM, 2, Noise("mixture"))
    variance = (codes.PETAL_RADIUS**2 + codes.PETAL_LENGTH**2 + codes.PETAL_WIDTH**2) / 2  # in each direction
    torch.testing.assert_close(z.T.cov(), variance * torch.eye(2), atol=0.05, rtol=0)
    assert z.mean(0).abs().max() < 0.03
    petal = (torch.atan2(z[:, 1], z[:, 0]) * codes.NUM_PETALS / (2 * math.pi)).round().long() % codes.NUM_PETALS
    counts = torch.bincount(petal, minlength=codes.NUM_PETALS)
    assert stats.chisquare(counts.numpy()).pvalue > 0.01
    first = z[petal == 0]
    spread = [first[:, 0].std().item(), first[:, 1].std().item()]
    assert spread == pytest.approx([codes.PETAL_LENGTH, codes.PETAL_WIDTH], rel=0.05)


def test_swiss_roll_lies_on_its_spiral_and_is_evenly_dense_along_it() -> None:
    z = codes.swiss_roll(NUM, 2, Noise("roll"))
    radius = z.norm(dim=1)
    area = (radius / codes.ROLL_RADIUS).square()  # uniform for r ∝ √u, but for the width
    assert area.mean().item() == pytest.approx(0.5 + 2 * (codes.ROLL_WIDTH / codes.ROLL_RADIUS) ** 2, abs=0.01)
    assert stats.kstest(area.numpy(), "uniform").statistic < 0.02
    winding = torch.atan2(z[:, 1], z[:, 0]) / (2 * math.pi)
    turns = radius / codes.ROLL_RADIUS * codes.ROLL_TURNS
    off = (turns - winding + 0.5) % 1 - 0.5  # of a turn; 0 on the spiral
    far = radius > 0.5
    assert off[far].abs().median() < 0.05
