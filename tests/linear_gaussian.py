"""A VAE whose every density is known: x = W z + b + s ε, and an encoder that is near the posterior, and off it."""

import math

import numpy as np
import torch
from scipy.stats import multivariate_normal
from torch import Tensor, nn

from genray.data.spec import DataSpec
from genray.images import to_float
from genray.models.vae import Model, VAEConfig
from genray.nn.likelihoods import Likelihood
from genray.nn.losses import gaussian_nll_nats
from genray.nn.noise import Noise

SPEC, LATENT = DataSpec(1, 2, 2, 0), 2
W = torch.tensor([[0.4, 0.1], [-0.2, 0.3], [0.1, 0.3], [0.3, -0.2]])
BIAS = torch.tensor([0.1, -0.1, 0.0, 0.2])
SIGMA = 0.15


class Affine(nn.Module):
    """(B, ...) → (B, *shape), whatever noise there is."""

    def __init__(self, weight: Tensor, bias: Tensor, *shape: int) -> None:
        super().__init__()
        self.weight, self.bias, self.shape = nn.Parameter(weight.clone()), nn.Parameter(bias.clone()), shape

    def forward(self, x: Tensor, noise: Noise | None = None) -> Tensor:
        return (x.flatten(1) @ self.weight.T + self.bias).view(-1, *self.shape)


class Spherical(Likelihood):
    """N(x; mean, SIGMA²) of images as they are, in [-1, 1]."""

    def nll_nats(self, logits: Tensor, images: Tensor, where: Tensor | None = None) -> Tensor:
        return gaussian_nll_nats(images, logits, torch.tensor(math.log(SIGMA), dtype=images.dtype))


def made(*, off: float = 0.3, **config: object) -> Model:
    """`off` shifts q's mean and logarithm of the variance away from the posterior's: with 0, q's mean is exact."""
    model = Model(VAEConfig.parse({"latent": LATENT, "hidden": 2, **config}), SPEC)
    precision = torch.eye(LATENT) + W.T @ W / SIGMA**2
    gain = torch.linalg.solve(precision, W.T) / SIGMA**2
    weight = torch.cat([gain, torch.zeros(LATENT, 4)])
    bias = torch.cat([off * 0.3 - gain @ BIAS, torch.linalg.inv(precision).diagonal().log() + off])
    model.encoder = Affine(weight, bias, 2 * LATENT)
    model.decoder = Affine(W, BIAS, *SPEC.shape)
    model.likelihood = Spherical()
    return model


def pixels(n: int, seed: int = 0) -> np.ndarray:
    """n images of that density, rounded: uint8 (n, 1, 2, 2)."""
    noise = Noise("linear gaussian", seed)
    x = noise.normal(n, LATENT) @ W.T + BIAS + SIGMA * noise.normal(n, 4)
    return ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).view(n, *SPEC.shape).numpy()


def images(n: int, seed: int = 0) -> Tensor:
    return to_float(pixels(n, seed))


def exact_log_density(x: Tensor, *, weight: Tensor = W, bias: Tensor = BIAS, sigma: float = SIGMA) -> np.ndarray:
    """ln N(x; b, W Wᵀ + s² I) (B,)."""
    covariance = (weight @ weight.T + sigma**2 * torch.eye(4)).double().numpy()
    return multivariate_normal(bias.double().numpy(), covariance).logpdf(x.flatten(1).double().numpy())
