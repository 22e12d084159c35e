"""Two stochastic layers against torch's distributions of (h₂, h₁), and against a linear-Gaussian model whose likelihood
is known."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import Tensor, nn
from torch.distributions import Normal

from genray.errors import UserError
from genray.metrics import importance_bound as metric
from genray.models.vae import Model, VAEConfig
from genray.nn.annealing import annealed_importance
from genray.nn.importance import importance_bound, log_mean_exp, log_weights
from genray.nn.layers import TwoLayerPosterior
from genray.nn.noise import Noise
from tests import linear_gaussian as lower
from tests.models.steps import digit_batch, make

A = torch.tensor([[0.8, -0.3, 0.2], [0.1, 0.6, -0.5]])  # h₁ = A h₂ + a + S ε
SHIFT, S = torch.tensor([0.2, -0.1]), torch.tensor([0.5, 0.7])


def affine(weight: Tensor, bias: Tensor) -> nn.Linear:
    layer = nn.Linear(*reversed(weight.shape))
    layer.weight, layer.bias = nn.Parameter(weight.clone()), nn.Parameter(bias.clone())
    return layer


def made(*, off: float = 0.0, **config: object) -> Model:
    """x = W h₁ + b + s ε with h₁ = A h₂ + a + S ε; q(h₂|h₁) has the posterior's mean, q(h₁|x) that of the marginal
    prior of h₁, both shifted by `off`; their variances are the posterior's diagonal."""
    model = Model(VAEConfig.parse({"latent": 2, "top_latent": 3, "hidden": 2, **config}), lower.SPEC)
    model.layers.down = affine(torch.cat([A, torch.zeros(2, 3)]), torch.cat([SHIFT, 2 * S.log()]))
    gain, covariance = posterior(A, torch.eye(3), S.square().diag())
    up = torch.cat([off * 0.3 - gain @ SHIFT, covariance.diagonal().log() + off])
    model.layers.up = affine(torch.cat([gain, torch.zeros(3, 2)]), up)
    prior = A @ A.T + S.square().diag()
    gain, covariance = posterior(lower.W, prior, lower.SIGMA**2 * torch.eye(4))
    mean = SHIFT + gain @ (-lower.BIAS - lower.W @ SHIFT) + off * 0.3
    weight = torch.cat([gain, torch.zeros(2, 4)])
    model.encoder = lower.Affine(weight, torch.cat([mean, covariance.diagonal().log() + off]), 4)
    model.decoder = lower.Affine(lower.W, lower.BIAS, *lower.SPEC.shape)
    model.likelihood = lower.Spherical()
    return model


def posterior(weight: Tensor, prior: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Gain and covariance of z ~ N(m, prior) given weight z + N(0, noise)."""
    gain = prior @ weight.T @ torch.linalg.inv(weight @ prior @ weight.T + noise)
    return gain, prior - gain @ weight @ prior


def exact(x: Tensor) -> np.ndarray:
    """ln N(x; W a + b, W (A Aᵀ + S²) Wᵀ + s² I) (B,)."""
    covariance = lower.W @ (A @ A.T + S.square().diag()) @ lower.W.T + lower.SIGMA**2 * torch.eye(4)
    density = multivariate_normal((lower.W @ SHIFT + lower.BIAS).double().numpy(), covariance.double().numpy())
    return density.logpdf(x.flatten(1).double().numpy())


def test_weights_are_those_of_the_two_layers_one_by_one() -> None:
    """ln p(h₂) + ln p(h₁|h₂) + ln p(x|h₁) − ln q(h₁|x) − ln q(h₂|h₁) by torch's distributions."""
    model, x = make("vae", latent=5, top_latent=3, top_hidden=7, hidden=6), digit_batch(4)["image"]
    assert isinstance(model, Model)
    q = model.posterior(x)
    z = q.rsample(6, Noise(0))
    h2, epsilon = z[..., :3], z[..., 3:]
    mu, logvar = model.layers.down(h2).chunk(2, -1)
    p1 = Normal(mu, (0.5 * logvar).exp())
    h1 = p1.mean + p1.stddev * epsilon
    mu, logvar = model.encoder(x).chunk(2, 1)
    q1 = Normal(mu, (0.5 * logvar).exp())
    mu, logvar = model.layers.up(h1).chunk(2, -1)
    q2 = Normal(mu, (0.5 * logvar).exp())
    nll = torch.stack([model.likelihood.nll_nats(model.decoder(h), x) for h in h1])
    expected = Normal(0.0, 1.0).log_prob(h2).sum(-1) + p1.log_prob(h1).sum(-1) - nll
    expected = expected - q1.log_prob(h1).sum(-1) - q2.log_prob(h2).sum(-1)
    torch.testing.assert_close(log_weights(q, model.log_likelihood(x), z), expected, rtol=1e-4, atol=1e-3)


def test_draws_are_of_q_layer_by_layer() -> None:
    model, x = made(off=0.3), lower.images(3)
    q = model.posterior(x)
    assert isinstance(q, TwoLayerPosterior)
    h1, h2, _ = model.layers.split(q.rsample(40_000, Noise(0)))
    mu, logvar = model.encoder(x).chunk(2, 1)
    torch.testing.assert_close(h1.mean(0), mu, atol=0.02, rtol=0)
    torch.testing.assert_close(h1.std(0), (0.5 * logvar).exp(), atol=0.01, rtol=0.02)
    error = h2 - model.layers.above(h1).mu
    torch.testing.assert_close(error.std(0), (0.5 * model.layers.above(h1).logvar).exp().mean(0), atol=0, rtol=0.02)
    assert torch.corrcoef(torch.stack([error[:, 0, 0], h1[:, 0, 0]]))[0, 1].abs() < 0.02


def test_the_bound_grows_with_the_number_of_draws_to_the_exact_likelihood() -> None:
    model, x = made(off=0.3), lower.images(100)
    q, log_likelihood = model.posterior(x), model.log_likelihood(x)
    means = []
    for k in (1, 3, 20, 1_000):
        draws = torch.stack([importance_bound(q, log_likelihood, Noise(k, i), k).nats for i in range(10)])
        means.append((draws.mean().item(), draws.mean(1).std().item() / 10**0.5))
    for (below, error), (above, other_error) in itertools.pairwise(means[:3]):
        assert above - below > 3 * math.hypot(error, other_error)
    assert means[-1][0] < exact(x).mean() + 4 * means[-1][1]
    assert means[-1][0] > exact(x).mean() - 0.02
    assert means[0][0] < exact(x).mean() - 0.3


def test_importance_bound_and_ais_are_the_exact_likelihood_within_their_errors() -> None:
    model, x = made(), lower.images(40)
    found = metric.bound_nats(model, x, Noise(0), 2_000)
    error = float(found.variance.sum().sqrt()) / len(x)
    assert found.nats.mean().item() == pytest.approx(exact(x).mean(), abs=4 * error)
    annealed = annealed_importance(
        model.log_likelihood(x), (len(x), model.latent), Noise(1), num_temperatures=300, num_chains=8
    )
    error = float(annealed.variance.sum().sqrt()) / len(x)
    assert 0 < error < 0.03
    assert annealed.nats.mean().item() == pytest.approx(exact(x).mean(), abs=4 * error)


def test_samples_have_the_models_mean_and_covariance() -> None:
    model = made()
    model.decode = lambda z: model.decoder(model.layers.code(z))  # no sigmoid here
    means = model.sample(100_000, Noise(0)).detach().flatten(1)
    covariance = lower.W @ (A @ A.T + S.square().diag()) @ lower.W.T
    torch.testing.assert_close(means.mean(0), lower.W @ SHIFT + lower.BIAS, atol=0.01, rtol=0)
    torch.testing.assert_close(means.T.cov(), covariance, atol=0.01, rtol=0)


def test_an_encoded_image_is_decoded_from_the_mean_of_its_first_layer() -> None:
    model, x = make("vae", latent=5, top_latent=3, hidden=6), digit_batch(4)["image"]
    assert isinstance(model, Model)
    codes = model.encode(x)
    assert codes.shape == (4, model.latent) == (4, 8)
    first = model.encoder(x)[:, :5]
    torch.testing.assert_close(model.layers.code(codes), first)
    torch.testing.assert_close(codes[:, :3], model.layers.above(first).mu)
    torch.testing.assert_close(model.reconstruct(x), torch.tanh(0.5 * model.decoder(first)))


@pytest.mark.parametrize("config", [{}, {"kl_term": "sampled"}, {"num_draws": 5}, {"importance_samples": 5}])
def test_the_loss_is_minus_the_mean_of_the_bounds(config: dict[str, int]) -> None:
    model, x = made(off=0.3, **config), lower.images(20)
    k = config.get("importance_samples", config.get("num_draws", 1))
    q = model.posterior(x)
    log_w = log_weights(q, model.log_likelihood(x), q.rsample(k, Noise(0)))
    bound = log_mean_exp(log_w) if "importance_samples" in config else log_w.mean(0)
    torch.testing.assert_close(model.loss({"image": x}, Noise(0)).total, -bound.mean())


def test_the_gradient_is_that_of_finite_differences() -> None:
    model = make("vae", latent=3, top_latent=2, top_hidden=4, hidden=4, importance_samples=3).double()
    batch = {"image": digit_batch(2)["image"].double()}
    p = model.layers.up.head.weight
    [gradient] = torch.autograd.grad(model.loss(batch, Noise(0)).total, p)
    losses = []
    for step in (1e-5, -1e-5):
        with torch.no_grad():
            p[0, 1] += step
            losses.append(model.loss(batch, Noise(0)).total.item())
            p[0, 1] -= step
    assert gradient[0, 1].item() == pytest.approx((losses[0] - losses[1]) / 2e-5, rel=1e-5)


@pytest.mark.parametrize("wrong", [{"estimator": "score_function"}, {"kl_term": "exact_entropy"}])
def test_what_two_layers_do_not_know_is_refused(wrong: dict[str, str]) -> None:
    [key] = wrong
    with pytest.raises(UserError, match=rf"two stochastic layers are trained with {key}=.*, got top_latent=3, {key}="):
        VAEConfig.parse({"top_latent": 3, **wrong})
