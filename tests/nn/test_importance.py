"""Importance weights against a model whose likelihood is known, against scipy, and against the ELBO."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from genray.nn import importance
from genray.nn.elbo import ELBOConfig, terms_nats
from genray.nn.importance import importance_bound, log_mean, log_mean_exp, log_weights
from genray.nn.noise import Noise
from tests import linear_gaussian


def test_logarithm_of_a_mean_is_scipys() -> None:
    log_w = 800 * torch.randn(7, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)  # e^800 overflows
    np.testing.assert_allclose(log_mean_exp(log_w), logsumexp(log_w.numpy(), axis=0, b=1 / 7))


def test_the_variance_is_that_of_a_logarithm_of_a_mean() -> None:
    """Many means of k log-normal weights, and how far their logarithms spread."""
    log_w = 0.5 * torch.randn(200, 4_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = log_mean(log_w.logsumexp(0), (2 * log_w).logsumexp(0), len(log_w))
    assert found.variance.mean().item() == pytest.approx(found.nats.var().item(), rel=0.1)


def test_one_weight_is_the_elbo_with_a_sampled_kl_term_in_value_and_gradient() -> None:
    model, images = linear_gaussian.made(), linear_gaussian.images(16)
    config = ELBOConfig(name="any", kl_term="sampled")
    nll_nats, kl_nats = terms_nats(config, model.posterior(images), model.log_likelihood(images), Noise(0))
    q = model.posterior(images)
    bound = log_mean_exp(log_weights(q, model.log_likelihood(images), q.rsample(1, Noise(0))))
    torch.testing.assert_close(-bound, nll_nats + kl_nats)
    expected, found = (
        torch.autograd.grad(nats.sum(), list(model.parameters())) for nats in (nll_nats + kl_nats, -bound)
    )
    assert all(map(torch.allclose, found, expected))


def test_the_bound_grows_with_the_number_of_draws_to_the_exact_likelihood() -> None:
    model, images = linear_gaussian.made(), linear_gaussian.images(200)
    exact = linear_gaussian.exact_log_density(images)
    q, log_likelihood = model.posterior(images), model.log_likelihood(images)
    means = []
    for k in (1, 2, 5, 20, 200):
        draws = torch.stack([importance_bound(q, log_likelihood, Noise(k, i), k).nats for i in range(40)])
        means.append((draws.mean().item(), draws.mean(1).std().item() / 40**0.5))
    for (lower, error), (higher, other_error) in pairwise(means):
        assert higher - lower > 3 * (error**2 + other_error**2) ** 0.5
    assert means[-1][0] < exact.mean() < means[-1][0] + 0.01
    assert means[0][0] < exact.mean() - 0.1


def test_exact_posteriors_weights_are_all_alike() -> None:
    """W with columns at right angles: the posterior is a diagonal Gaussian, and one draw says all."""
    model = linear_gaussian.made(off=0.0)
    weight = torch.tensor([[0.4, 0.1], [-0.2, 0.2], [0.1, 0.0], [0.3, 0.0]])
    assert (weight.T @ weight)[0, 1] == pytest.approx(0)
    precision = 1 + (weight**2).sum(0) / linear_gaussian.SIGMA**2
    gain = weight.T / linear_gaussian.SIGMA**2 / precision[:, None]
    with torch.no_grad():
        model.decoder.weight.copy_(weight)
        model.encoder.weight[:2].copy_(gain)
        model.encoder.bias.copy_(torch.cat([-gain @ linear_gaussian.BIAS, -precision.log()]))
    images = linear_gaussian.images(20)
    found = importance_bound(model.posterior(images), model.log_likelihood(images), Noise(0), 5)
    np.testing.assert_allclose(found.nats, linear_gaussian.exact_log_density(images, weight=weight), atol=1e-4)
    assert found.variance.max() < 1e-9


def test_chunks_hold_as_many_codes_as_they_should_and_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    model, images = linear_gaussian.made(), linear_gaussian.images(10)
    sizes, log_likelihood = [], model.log_likelihood(images)

    def f(z: torch.Tensor) -> torch.Tensor:
        sizes.append(z[..., 0].numel())
        return log_likelihood(z)

    monkeypatch.setattr(importance, "ROWS_AT_A_TIME", 70)
    found = importance_bound(model.posterior(images), f, Noise(0), 17)
    assert sizes == [70, 70, 30]
    noise = Noise(0)
    q = model.posterior(images)
    whole = torch.cat([log_weights(q, log_likelihood, q.rsample(n, noise)) for n in (7, 7, 3)]).double()
    np.testing.assert_allclose(found.nats, logsumexp(whole.detach().numpy(), axis=0, b=1 / 17), rtol=1e-5)
