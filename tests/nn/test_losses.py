import math

import pytest
import torch
from torch import distributions as D
from torch import nn

from genray.nn import losses

# B images of a batch


def draws(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_gaussian_kl_is_that_of_torch_distributions() -> None:
    mu, logvar = draws(7, 3), draws(7, 3, seed=1)
    expected = D.kl_divergence(D.Normal(mu, (0.5 * logvar).exp()), D.Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(losses.gaussian_kl_nats(mu, logvar), expected)


def test_gaussian_kl_is_the_integral_by_quadrature() -> None:
    z = torch.linspace(-30, 30, 20_001, dtype=torch.float64)
    mean, sigma, zero, one = torch.tensor([0.7, 1.8, 0.0, 1.0], dtype=torch.float64)
    q, p = D.Normal(mean, sigma), D.Normal(zero, one)
    integral = torch.trapezoid(q.log_prob(z).exp() * (q.log_prob(z) - p.log_prob(z)), z)
    kl_nats = losses.gaussian_kl_nats(mean.view(1, 1), 2 * sigma.log().view(1, 1))
    torch.testing.assert_close(kl_nats[0], integral, rtol=1e-9, atol=0)


def test_gaussian_kl_is_zero_at_the_prior_alone() -> None:
    zero = torch.zeros(1, 4)
    assert losses.gaussian_kl_nats(zero, zero).item() == 0
    assert losses.gaussian_kl_nats(draws(50, 4), draws(50, 4, seed=1)).min() > 0


def test_bernoulli_nll_is_that_of_torch_distributions() -> None:
    logits, pixels = draws(5, 2, 4, 3), (draws(5, 2, 4, 3, seed=1) > 0).float()
    expected = -D.Bernoulli(logits=logits).log_prob(pixels).sum((1, 2, 3))
    torch.testing.assert_close(losses.bernoulli_nll_nats(logits, pixels), expected)


def test_bernoulli_nll_of_grey_pixels_is_least_where_the_mean_is_the_pixel() -> None:
    pixels = torch.tensor([[0.1, 0.5, 0.8]])
    entropy = D.Bernoulli(probs=pixels).entropy().sum(1)
    torch.testing.assert_close(losses.bernoulli_nll_nats(pixels.logit(), pixels), entropy)
    assert losses.bernoulli_nll_nats(pixels.logit() + 0.1, pixels) > entropy


def test_bernoulli_nll_has_the_gradient_p_minus_x() -> None:
    """Written out, far from 0 too, where a sigmoid in single precision is 0 or 1; and under vmap."""
    logits, pixels = 30 * draws(5, 40), draws(5, 40, seed=1).sigmoid()
    logits.requires_grad_()
    weights = torch.arange(5.0)
    [gradient] = torch.autograd.grad(losses.bernoulli_nll_nats(logits, pixels) @ weights, logits)
    torch.testing.assert_close(gradient, (logits.sigmoid() - pixels) * weights[:, None])
    stacked = torch.func.vmap(losses.bernoulli_nll_nats)(logits.view(5, 1, 40), pixels.view(5, 1, 40))
    torch.testing.assert_close(stacked.flatten(), losses.bernoulli_nll_nats(logits, pixels))


def test_gaussian_nll_is_that_of_torch_distributions() -> None:
    x, mean, sigma = draws(5, 1, 4, 4), draws(5, 1, 4, 4, seed=1), 0.3
    expected = -D.Normal(mean, sigma).log_prob(x).sum((1, 2, 3))
    torch.testing.assert_close(losses.gaussian_nll_nats(x, mean, torch.tensor(sigma).log()), expected)


def test_gaussian_nll_is_least_where_sigma_is_the_root_mean_square_error() -> None:
    x, mean = draws(6, 20), draws(6, 20, seed=1)
    log_sigma = (x - mean).square().mean().sqrt().log().requires_grad_()
    losses.gaussian_nll_nats(x, mean, log_sigma).mean().backward()
    assert abs(log_sigma.grad.item()) < 1e-4


def test_unit_gaussian_energy_is_the_nll_but_for_its_constant() -> None:
    x, mean = draws(5, 2, 3, 3), draws(5, 2, 3, 3, seed=1)
    constant = 18 * 0.5 * math.log(2 * math.pi)
    expected = losses.gaussian_nll_nats(x, mean, torch.tensor(0.0)) - constant
    torch.testing.assert_close(losses.unit_gaussian_energy_nats(x, mean), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_adversarial_losses_are_cross_entropies(smoothing: float) -> None:
    logits, entropy = draws(9, 1), nn.BCEWithLogitsLoss()
    real = entropy(logits, torch.full_like(logits, 1 - smoothing))
    torch.testing.assert_close(losses.called_real_nats(logits, smoothing), real)
    torch.testing.assert_close(losses.called_fake_nats(logits), entropy(logits, torch.zeros_like(logits)))


def test_adversarial_losses_stay_finite_where_a_sigmoid_would_not() -> None:
    logits = torch.tensor([[-200.0], [200.0]], requires_grad=True)
    loss = losses.called_real_nats(logits) + losses.called_fake_nats(logits)
    loss.backward()
    assert loss.item() == pytest.approx(200)
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.3])
def test_the_best_discriminator_gives_the_share_of_real_images(smoothing: float) -> None:
    """D* = (1 − s) p_data / (p_data + p_g): 3 real images and 1 fake at one place, gradient 0 there."""
    best = (1 - smoothing) * 0.75
    logit = torch.tensor(best).logit().requires_grad_()
    real, fake = losses.called_real_nats(logit.expand(3, 1), smoothing), losses.called_fake_nats(logit.expand(1, 1))
    (3 * real + fake).backward()
    assert abs(logit.grad.item()) < 1e-6
