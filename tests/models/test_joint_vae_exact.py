"""That x₁ says of x₂ what it should, where the exact p(x₂|x₁) is known; independent views would fail each of these."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import Tensor, nn

from genray.data.spec import DataSpec
from genray.models.joint_vae import Model
from genray.nn.losses import gaussian_nll_nats
from genray.nn.noise import Noise
from genray.nn.posteriors import DiagonalGaussian
from tests.models.steps import Steps, make


def made(spec: DataSpec, **config: object) -> Model:
    model = make("joint_vae", spec, **config)
    assert isinstance(model, Model)
    return model


# A case whose every density is known: z ~ N(0, I), x₁ = a z + s ε₁, x₂ = b z + s ε₂, each by its two coordinates.

A, B, S = torch.tensor([1.0, 0.5]), torch.tensor([-0.7, 1.5]), 0.4


class Scaled(nn.Module):
    """z (n, 2) → the mean of a half (n, 1, 1, 2), in the place of a decoder."""

    def __init__(self, by: Tensor) -> None:
        super().__init__()
        self.register_buffer("by", by)

    def forward(self, z: Tensor, noise: Noise | None = None) -> Tensor:
        return (z * self.by)[:, None, None, :]


class LinearGaussian(nn.Module):
    """N(x; mean, S²), in the place of a likelihood, and the mean itself in that of a view."""

    def nll_nats(self, logits: Tensor, images: Tensor, where: Tensor | None = None) -> Tensor:
        return gaussian_nll_nats(images, logits, torch.tensor(math.log(S)))

    def mean(self, logits: Tensor) -> Tensor:
        return logits


class Affine(nn.Module):
    """q(z|x...) with a mean that is linear in each coordinate, in the place of an encoder."""

    def __init__(self, scales: list[Tensor], variance: Tensor) -> None:
        super().__init__()
        self.scales, self.logvar = nn.ParameterList(scales), nn.Parameter(variance.log())

    def forward(self, *views: Tensor, noise: Noise | None = None) -> DiagonalGaussian:
        mu = sum(x.flatten(1) * scale for x, scale in zip(views, self.scales, strict=True))
        return DiagonalGaussian(mu, self.logvar.expand_as(mu))


def exact_encoder(*slopes: Tensor) -> Affine:
    """The posterior of z given what was made with these slopes: Gaussian, one coordinate apart from the other."""
    variance = 1 / (1 + sum(slope**2 for slope in slopes) / S**2)
    return Affine([variance * slope / S**2 for slope in slopes], variance)


def linear_gaussian() -> Model:
    model = made(DataSpec(1, 2, 2, 0), views="halves", hidden=2, latent=2)
    model.joint_encoder = exact_encoder(A, B)
    model.encoders = nn.ModuleList([exact_encoder(A), exact_encoder(B)])
    model.decoders = nn.ModuleList([Scaled(A), Scaled(B)])
    model.likelihoods = nn.ModuleList([LinearGaussian(), LinearGaussian()])
    model._views = [LinearGaussian(), LinearGaussian()]
    return model


def draw(n: int, seed: int = 0) -> Tensor:
    """n images (n, 1, 2, 2) of the known density: x₁ above, x₂ below."""
    noise = Noise("pairs", seed)
    z = noise.normal(n, 2)
    return torch.stack([z * A, z * B], dim=1)[:, None] + S * noise.normal(n, 1, 2, 2)


def exact_log_density(images: Tensor, of: list[int], given: list[int]) -> np.ndarray:
    """ln p of some of the coordinates (x₁₁, x₁₂, x₂₁, x₂₂) given others, from the covariance of all."""
    slopes = torch.cat([torch.diag(A), torch.diag(B)])
    covariance = (slopes @ slopes.T + S**2 * torch.eye(4)).numpy().astype(np.float64)
    x = images.flatten(1).numpy().astype(np.float64)

    def log_density(which: list[int]) -> np.ndarray:
        return multivariate_normal(np.zeros(len(which)), covariance[np.ix_(which, which)]).logpdf(x[:, which])

    return log_density(of + given) - (log_density(given) if given else 0.0)


X1, X2 = [0, 1], [2, 3]


@torch.no_grad()
def test_importance_weights_of_the_exact_posterior_give_the_exact_density() -> None:
    model, images = linear_gaussian(), draw(20)
    joint, image = model.log_likelihoods_nats({"image": images}, Noise(0), num_draws=3)
    np.testing.assert_allclose(joint, exact_log_density(images, X1 + X2, []), atol=1e-4)
    assert torch.equal(joint, image)  # both halves are the image


@torch.no_grad()
def test_bounds_are_the_exact_densities_where_the_encoders_are_exact() -> None:
    model, images = linear_gaussian(), draw(8)
    batch = {"image": images.repeat(4_000, 1, 1, 1)}
    bounds = {
        "joint": (model.joint_elbo_nats(batch, Noise(0)), exact_log_density(images, X1 + X2, [])),
        "forth": (model.conditional_elbo_nats(batch, Noise(1)), exact_log_density(images, X2, X1)),
        "back": (model.conditional_elbo_nats(batch, Noise(2), given=1), exact_log_density(images, X1, X2)),
    }
    for name, (bound, exact) in bounds.items():
        draws = bound.view(4_000, 8)
        error = (draws.mean(0) - torch.tensor(exact)) / (draws.std(0) / 4_000**0.5)
        assert error.abs().max() < 4, name


def check_conditional(drawn: Tensor, given: Tensor, slope: Tensor, to: Tensor) -> None:
    """That means of p(x₂|z) (n, 2) are distributed as they are where x₁ = `given` (2,): the exact conditional."""
    gain = slope / (slope**2 + S**2)
    torch.testing.assert_close(drawn.mean(0), to * gain * given, rtol=0.05, atol=0.03)
    torch.testing.assert_close(drawn.var(0), to**2 * S**2 / (slope**2 + S**2), rtol=0.1, atol=0.01)


def test_what_is_drawn_from_a_view_has_the_exact_conditional_distribution() -> None:
    """One-view encoders that start from nothing, trained by the loss on pairs, give p(x₂|x₁) and p(x₁|x₂); a draw that
    takes no notice of x₁, the prior's, is refused by the same check."""
    model = linear_gaussian()
    model.encoders = nn.ModuleList(Affine([torch.zeros(2)], torch.ones(2)) for _ in range(2))
    optimizer = torch.optim.Adam(model.encoders.parameters(), lr=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 200)
    for step in range(200):
        optimizer.zero_grad()
        model.loss({"image": draw(256, step)}, Noise(step)).total.backward()
        optimizer.step()
        schedule.step()
    x = torch.tensor([1.2, -0.9])
    with torch.no_grad():
        forth = model.cross(x.expand(20_000, 1, 1, 2), Noise("forth"), given=0).flatten(1)
        back = model.cross(x.expand(20_000, 1, 1, 2), Noise("back"), given=1).flatten(1)
        independent = model.draw_pair(20_000, Noise("prior"))[1].flatten(1)
    check_conditional(forth, x, A, B)
    check_conditional(back, x, B, A)
    with pytest.raises(AssertionError):
        check_conditional(independent, x, A, B)


def test_trained_as_a_whole_one_half_says_what_the_other_is() -> None:
    """Halves are all 0 or all 1, and the lower is as the upper with probability 0.9: E[x₂|x₁] is 0.1 or 0.9, and 0.5
    if the views were independent."""
    model = made(DataSpec(1, 4, 4, 0), views="halves", hidden=16, latent=2, alpha=1.0)
    steps = Steps(model)
    for step in range(200):
        noise = Noise("halves", step)
        upper = (noise.uniform(64) < 0.5).float()
        lower = torch.where(noise.uniform(64) < 0.9, upper, 1 - upper)
        images = torch.stack([upper, upper, lower, lower], dim=1)[:, None, :, None].expand(-1, -1, -1, 4)
        steps.all({"image": images * 2 - 1}, step)
    with torch.no_grad():
        for value in (0.0, 1.0):
            given = torch.full((4_000, 1, 2, 4), 2 * value - 1)
            for view in range(2):
                other = (model.cross(given, Noise(view), given=view).mean().item() + 1) / 2
                assert other == pytest.approx(0.1 + 0.8 * value, abs=0.15)
        upper, lower = (0.5 * (half.flatten(1).mean(1) + 1) for half in model.draw_pair(4_000, Noise("prior")))
    assert lower.mean().item() == pytest.approx(0.5, abs=0.1)
    same = (upper * lower + (1 - upper) * (1 - lower)).mean().item()
    assert same > 0.65
