"""The stochastic layers between an image and the prior: one, z → x, or two, h₂ → h₁ → x (Burda et al. 2016).

Two layers are written in coordinates z = (h₂, ε), h₁ = μ(h₂) + σ(h₂) ε, in which their prior is N(0, I): what asks for
codes of that prior, to sample, to decode or to anneal, has them as it has one. Importance weights are the same in z as
in (h₁, h₂), as |∂(h₁, h₂)/∂z| = Π σ(h₂) stands in p and in q.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from genray.nn.blocks import Network, vector_to_vector
from genray.nn.losses import LN_2PI
from genray.nn.noise import Noise
from genray.nn.posteriors import DiagonalGaussian

# n draws, B images, H₁ and H₂ dimensions of the layers, Z = H₂ + H₁; "..." any batch


class OneLayer(nn.Module):
    """h₁ is z."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size  # of a code

    def posterior(self, first: DiagonalGaussian) -> DiagonalGaussian:
        """q(z|x) of q(h₁|x)."""
        return first

    def code(self, z: Tensor) -> Tensor:
        """h₁ (..., H₁) of codes (..., Z), which the decoder of images reads."""
        return z

    def encode(self, h1: Tensor) -> Tensor:
        """Codes (..., Z) that have this h₁, and the mean of q(h₂|h₁)."""
        return h1


class TwoLayers(nn.Module):
    """p(h₁|h₂) and q(h₂|h₁), diagonal Gaussians by networks without dropout: both are asked for again at each draw."""

    def __init__(self, width: int, size_1: int, size_2: int) -> None:
        super().__init__()
        self.size, self._size_2 = size_1 + size_2, size_2
        self.up = _to_gaussian(width, size_1, size_2)
        self.down = _to_gaussian(width, size_2, size_1)

    def posterior(self, first: DiagonalGaussian) -> TwoLayerPosterior:
        return TwoLayerPosterior(first, self)

    def above(self, h1: Tensor) -> DiagonalGaussian:
        """q(h₂|h₁)."""
        return DiagonalGaussian(*self.up(h1).chunk(2, dim=-1))

    def below(self, h2: Tensor) -> DiagonalGaussian:
        """p(h₁|h₂)."""
        return DiagonalGaussian(*self.down(h2).chunk(2, dim=-1))

    def split(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """h₁ (..., H₁), h₂ (..., H₂) and ln |∂(h₁, h₂)/∂z| (...) of codes (..., Z)."""
        h2, epsilon = z[..., : self._size_2], z[..., self._size_2 :]
        p = self.below(h2)
        return p.mu + (0.5 * p.logvar).exp() * epsilon, h2, 0.5 * p.logvar.sum(-1)

    def join(self, h1: Tensor, h2: Tensor) -> Tensor:
        """The way back: codes (..., Z)."""
        p = self.below(h2)
        return torch.cat([h2, (h1 - p.mu) * (-0.5 * p.logvar).exp()], dim=-1)

    def code(self, z: Tensor) -> Tensor:
        return self.split(z)[0]

    def encode(self, h1: Tensor) -> Tensor:
        return self.join(h1, self.above(h1).mu)


def _to_gaussian(width: int, size_in: int, size_out: int) -> Network:
    """Means and logarithms of variances, which begin at 0: with random ones, of which one layer's spread feeds the
    next, some weights of the first step on the digits were beyond what float32 holds."""
    network = vector_to_vector(width, size_in, 2 * size_out)
    with torch.no_grad():
        cast("nn.Linear", network.head).weight[size_out:].zero_()
    return network


@dataclass(frozen=True)
class TwoLayerPosterior:
    """q(h₁|x) q(h₂|h₁) of each image as a density of z, beside the prior N(0, I). It has no KL term in closed form."""

    first: DiagonalGaussian  # q(h₁|x)
    layers: TwoLayers

    @property
    def batch(self) -> int:
        return self.first.batch

    def rsample(self, n: int, noise: Noise) -> Tensor:
        """n draws (n, B, Z) of each image's z, through which gradients pass."""
        h1 = self.first.rsample(n, noise)
        q = self.layers.above(h1)
        draws = noise.normal(self.batch, n, q.mu.shape[-1]).transpose(0, 1)
        return self.layers.join(h1, q.mu + (0.5 * q.logvar).exp() * draws)

    def log_prob(self, z: Tensor) -> Tensor:
        """ln q(z|x) (n, B) of z (n, B, Z)."""
        h1, h2, log_volume = self.layers.split(z)
        return self.first.log_prob(h1) + self.layers.above(h1).log_prob(h2) + log_volume

    def prior_log_prob(self, z: Tensor) -> Tensor:
        """ln N(z; 0, I) (n, B) of z (n, B, Z)."""
        return -0.5 * (z.square() + LN_2PI).sum(-1)

    def kl_at_nats(self, z: Tensor) -> Tensor:
        """Estimates (n, B) of KL(q(z|x) ‖ N(0, I)), one from each draw z (n, B, Z) of q [nats]."""
        return self.log_prob(z) - self.prior_log_prob(z)
