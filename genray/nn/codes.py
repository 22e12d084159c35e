"""How codes are drawn: from priors, and from a Gaussian posterior."""

import math

import torch
from torch import Tensor

from genray.nn.noise import Noise

# B images, n codes, Z latent dimensions

NUM_PETALS = 10  # as many as there are classes of digits, Makhzani et al. 2015, fig. 4
PETAL_RADIUS, PETAL_LENGTH, PETAL_WIDTH = 2.0, 0.4, 0.12  # the spreads are standard deviations
ROLL_RADIUS, ROLL_TURNS, ROLL_WIDTH = 3.0, 2.0, 0.05


def reparameterize(mu: Tensor, logvar: Tensor, noise: Noise) -> Tensor:
    """z = μ + σε (B, Z), a draw of N(μ, diag σ²) through which gradients pass. Kingma & Welling 2014, §2.4."""
    return torch.addcmul(mu, (0.5 * logvar).exp(), noise.normal(*mu.shape))


def gaussian(n: int, latent: int, noise: Noise) -> Tensor:
    """n draws (n, Z) of N(0, I)."""
    return noise.normal(n, latent)


def mixture(n: int, latent: int, noise: Noise) -> Tensor:
    """n draws (n, 2) of ten Gaussians around a circle, each longer along the radius than across it."""
    angle = (noise.uniform(n) * NUM_PETALS).floor() * (2 * math.pi / NUM_PETALS)
    along, across = noise.normal(n, 2).unbind(1)
    return _rotate(PETAL_RADIUS + PETAL_LENGTH * along, PETAL_WIDTH * across, angle)


def swiss_roll(n: int, latent: int, noise: Noise) -> Tensor:
    """n draws (n, 2) along a spiral from the origin, about equally dense along its length, with some width."""
    way = noise.uniform(n).sqrt()  # the length of a spiral r ∝ θ grows as θ²
    along, across = (ROLL_WIDTH * noise.normal(n, 2)).unbind(1)
    return _rotate(ROLL_RADIUS * way + along, across, 2 * math.pi * ROLL_TURNS * way)


def _rotate(x: Tensor, y: Tensor, angle: Tensor) -> Tensor:
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([x * cos - y * sin, x * sin + y * cos], dim=1)


PRIORS = {"gaussian": gaussian, "mixture": mixture, "swiss_roll": swiss_roll}
PLANAR = frozenset({"mixture", "swiss_roll"})  # defined in two dimensions only
