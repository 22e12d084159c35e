"""Posteriors q(z|x) that a model draws from with the noise it is handed, each beside the prior of its codes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from genray.nn.losses import LN_2PI, gaussian_kl_between_nats, gaussian_kl_nats
from genray.nn.noise import Noise

# n draws, B images, Z latent dimensions

LN_2 = math.log(2)


@dataclass(frozen=True)
class DiagonalGaussian:
    """N(μ, diag σ²) of each image, beside the prior N(0, I). mu, logvar: (B, Z)."""

    mu: Tensor
    logvar: Tensor

    @property
    def batch(self) -> int:
        return len(self.mu)

    def rsample(self, n: int, noise: Noise) -> Tensor:
        """n draws (n, B, Z) of each image's z = μ + σε, through which gradients pass."""
        return torch.addcmul(self.mu, (0.5 * self.logvar).exp(), _by_draw(noise.normal(*_by_image(self.mu, n))))

    def log_prob(self, z: Tensor) -> Tensor:
        """ln q(z|x) (n, B) of z (n, B, Z)."""
        squared = (z - self.mu).square() * (-self.logvar).exp()
        return -0.5 * (squared + self.logvar + LN_2PI).sum(-1)

    def scores(self, z: Tensor) -> Tensor:
        """∇ ln q(z|x) with respect to (μ, ln σ²): (n, B, 2Z)."""
        error, precision = z - self.mu, (-self.logvar).exp()
        return torch.cat([error * precision, 0.5 * (error.square() * precision - 1.0)], dim=-1)

    def entropy(self) -> Tensor:
        """H(q(z|x)) (B,) [nats]."""
        return 0.5 * (self.logvar + LN_2PI + 1.0).sum(-1)

    def kl_nats(self) -> Tensor:
        """KL(q(z|x) ‖ N(0, I)) (B,) [nats]."""
        return gaussian_kl_nats(self.mu, self.logvar)

    def kl_at_nats(self, z: Tensor) -> Tensor:
        """KL(q(z|x) ‖ N(0, I)) (n, B) for draws z (n, B, Z): in closed form, so the same for each [nats]."""
        return self.kl_nats().expand(len(z), -1)

    def kl_to_nats(self, other: DiagonalGaussian) -> Tensor:
        """KL(q ‖ other) (B,) [nats]."""
        return gaussian_kl_between_nats(self.mu, self.logvar, other.mu, other.logvar)

    def prior_log_prob(self, z: Tensor) -> Tensor:
        """ln N(z; 0, I) (n, B) of z (n, B, Z)."""
        return -0.5 * (z.square() + LN_2PI).sum(-1)


@dataclass(frozen=True)
class Bernoulli:
    """Independent bits of each image, beside the prior of fair coins. logits: (B, Z). No draw has a derivative."""

    logits: Tensor

    @property
    def batch(self) -> int:
        return len(self.logits)

    def sample(self, n: int, noise: Noise) -> Tensor:
        """n draws (n, B, Z) of each image's bits, 0.0 or 1.0."""
        uniform = _by_draw(noise.uniform(*_by_image(self.logits, n)))
        return (uniform < torch.sigmoid(self.logits)).to(self.logits.dtype)

    def log_prob(self, z: Tensor) -> Tensor:
        """ln q(z|x) (n, B) of bits z (n, B, Z)."""
        return (z * self.logits - F.softplus(self.logits)).sum(-1)

    def scores(self, z: Tensor) -> Tensor:
        """∇ ln q(z|x) with respect to the logits: (n, B, Z)."""
        return z - torch.sigmoid(self.logits)

    def entropy(self) -> Tensor:
        """H(q(z|x)) (B,) [nats]."""
        return (F.softplus(self.logits) - torch.sigmoid(self.logits) * self.logits).sum(-1)

    def kl_nats(self) -> Tensor:
        """KL(q(z|x) ‖ fair coins) (B,) [nats]."""
        return self.logits.shape[-1] * LN_2 - self.entropy()

    def kl_at_nats(self, z: Tensor) -> Tensor:
        """KL(q(z|x) ‖ fair coins) (n, B) for draws z (n, B, Z): in closed form, so the same for each [nats]."""
        return self.kl_nats().expand(len(z), -1)

    def prior_log_prob(self, z: Tensor) -> Tensor:
        """−Z ln 2 for any bits z (n, B, Z): (n, B)."""
        return torch.full_like(z[..., 0], -z.shape[-1] * LN_2)


class Reparameterized(Protocol):
    def rsample(self, n: int, noise: Noise) -> Tensor: ...


def draw(q: Reparameterized | Bernoulli, n: int, noise: Noise) -> Tensor:
    """n draws (n, B, Z) of each image's z, with gradients where q lets them through."""
    return q.sample(n, noise) if isinstance(q, Bernoulli) else q.rsample(n, noise)


def fair_bits(n: int, latent: int, noise: Noise) -> Tensor:
    """n draws (n, Z) of the prior of fair coins, 0.0 or 1.0."""
    return (noise.uniform(n, latent) < 0.5).float()


def _by_image(parameter: Tensor, n: int) -> tuple[int, int, int]:
    """The shape in which draws are asked for: noise is sliced by rank along the first dimension, the images."""
    return parameter.shape[0], n, parameter.shape[1]


def _by_draw(draws: Tensor) -> Tensor:
    """(B, n, Z) → (n, B, Z)."""
    return draws.transpose(0, 1)
