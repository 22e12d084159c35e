"""A generator of one dimension that can be inverted, so that the density of what it generates is known at any time."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genray.nn.noise import Noise
from genray.studies._densities import FloatArray

NUM_STEPS = 16  # steep places, which leave gaps between modes
FARTHEST = 8.0  # of z: a standard normal is farther once in 10¹⁵ draws
NUM_HALVINGS = 50  # of an interval of that length, to the precision of a double
NUM_NODES = 4001  # of z, in a quadrature
TABLE = np.linspace(-2.0, 2.0, 8001)  # of x, between which a noised density is interpolated


class MonotoneGenerator(nn.Module):
    """z (B, 1) → logits y (B, 1, 1, 1), strictly increasing: y = az + b + Σₖ wₖ tanh(sₖ(z − cₖ)) with a, wₖ, sₖ > 0.

    `genray.models.gan` puts tanh around it: x = tanh(y(z)), whose density is φ(z) / (y′(z)(1 − x²)).
    """

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(-2.0))
        self.offset = nn.Parameter(torch.tensor(0.0))
        self.height = nn.Parameter(torch.full((NUM_STEPS,), -4.0))
        self.steepness = nn.Parameter(torch.full((NUM_STEPS,), 1.0))
        self.center = nn.Parameter(torch.linspace(-2.0, 2.0, NUM_STEPS))

    def forward(self, z: Tensor) -> Tensor:
        return self._y(z)[..., None, None]

    def _y(self, z: Tensor) -> Tensor:
        steps = F.softplus(self.height) * torch.tanh(F.softplus(self.steepness) * (z - self.center))
        return F.softplus(self.slope) * z + self.offset + steps.sum(-1, keepdim=True)

    def _dy_dz(self, z: Tensor) -> Tensor:
        steepness = F.softplus(self.steepness)
        steps = F.softplus(self.height) * steepness * (1 - torch.tanh(steepness * (z - self.center)).square())
        return F.softplus(self.slope) + steps.sum(-1, keepdim=True)

    @torch.no_grad()
    def draw(self, n: int, noise: Noise) -> Tensor:
        """n draws (n, 1) of x."""
        return torch.tanh(self._y(noise.normal(n, 1)))

    @torch.no_grad()
    def at(self, z: FloatArray) -> FloatArray:
        """x = G(z) (N,) of z (N,)."""
        return np.asarray(torch.tanh(self._y(torch.from_numpy(z)[:, None]))[:, 0].numpy())

    @torch.no_grad()
    def density(self, x_ND: FloatArray) -> FloatArray:
        """p(x) (N,), D = 1, by z found through bisection; 0 where no z leads."""
        x = torch.from_numpy(x_ND).double()
        inside = x.abs() < 1
        y = torch.atanh(torch.where(inside, x, 0.0))
        low, high = torch.full_like(y, -FARTHEST), torch.full_like(y, FARTHEST)
        for _ in range(NUM_HALVINGS):
            middle = (low + high) / 2
            below = self._y(middle) < y
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        z = (low + high) / 2
        normal = (-z.square() / 2).exp() / math.sqrt(2 * math.pi)
        p = normal / (self._dy_dz(z) * (1 - x.square()))
        reached = inside & (z.abs() < FARTHEST - 1e-6)
        return np.asarray(torch.where(reached, p, 0.0)[:, 0].numpy())


class Noised:
    """A generator's draw to which N(0, h²) is added: its density is ∫ φₕ(x − G(z)) φ(z) dz, by quadrature over z.

    A generator that has learned leaves gaps and ridges, at whose edges D* jumps: few draws fall there, and no
    discriminator that learns from draws has a jump. With noise on both sides (Sønderby et al. 2017) D* is smooth.
    """

    def __init__(self, generator: MonotoneGenerator, h: float) -> None:
        self._generator, self._h = generator, h
        z = np.linspace(-FARTHEST, FARTHEST, NUM_NODES)
        weights = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
        centers = generator.at(z)
        distances = (TABLE[:, None] - centers) / h
        self._table = np.exp(-(distances**2) / 2) @ weights / (h * math.sqrt(2 * math.pi))

    def draw(self, n: int, noise: Noise) -> Tensor:
        """n draws (n, 1)."""
        return self._generator.draw(n, noise) + self._h * noise.normal(n, 1)

    def density(self, x_ND: FloatArray) -> FloatArray:
        """p(x) (N,), D = 1, at |x| <= 2."""
        return np.asarray(np.interp(x_ND[:, 0], TABLE, self._table))
