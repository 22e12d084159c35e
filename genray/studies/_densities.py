"""Gaussian mixtures: densities that are known, to draw from and to compare with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genray.data.spec import DataSpec
from genray.models.base import Batch
from genray.nn.noise import Noise

# N points, D dimensions, K components

FloatArray = NDArray[np.float64]


class Density(Protocol):
    """Draws, and how dense they are."""

    def draw(self, n: int, noise: Noise) -> Tensor:
        """(n, D)"""

    def density(self, x_ND: FloatArray) -> FloatArray:
        """(N,)"""


class Grid(NamedTuple):
    """Points at equal distances, for figures and quadrature."""

    points_ND: FloatArray
    cell: float  # length or area that each point stands for


def line(low: float, high: float, num: int) -> Grid:
    x = np.linspace(low, high, num)
    return Grid(x[:, None], float(x[1] - x[0]))


def square(low: float, high: float, num: int) -> Grid:
    """Row by row: points[i * num + j] is (x_j, y_i)."""
    x = np.linspace(low, high, num)
    return Grid(np.stack(np.meshgrid(x, x), axis=-1).reshape(-1, 2), float(x[1] - x[0]) ** 2)


@dataclass(frozen=True)
class Mixture:
    """Gaussians of one spread in all directions."""

    means: tuple[tuple[float, ...], ...]  # (K, D)
    sigmas: tuple[float, ...]  # (K,)
    weights: tuple[float, ...]  # (K,), which sum to 1

    @property
    def dimensions(self) -> int:
        return len(self.means[0])

    def density(self, x_ND: FloatArray) -> FloatArray:
        """p(x) (N,)."""
        means, sigmas = np.array(self.means), np.array(self.sigmas)
        squared = np.square(x_ND[:, None] - means).sum(2) / (2 * sigmas**2)
        scale = np.array(self.weights) / (2 * math.pi * sigmas**2) ** (self.dimensions / 2)
        return np.asarray(np.exp(-squared) @ scale)

    def draw(self, n: int, noise: Noise) -> Tensor:
        """n draws (n, D)."""
        ends = torch.tensor(self.weights).cumsum(0)[:-1]
        component = torch.bucketize(noise.uniform(n), ends)
        spread = torch.tensor(self.sigmas)[component, None]
        return torch.tensor(self.means)[component] + spread * noise.normal(n, self.dimensions)

    def blurred(self, sigma: float) -> Mixture:
        """The density of a draw to which N(0, σ²I) is added."""
        return Mixture(self.means, tuple(math.hypot(s, sigma) for s in self.sigmas), self.weights)


def even(means: list[tuple[float, ...]], sigma: float) -> Mixture:
    """Components of the same weight and spread."""
    return Mixture(tuple(means), (sigma,) * len(means), (1 / len(means),) * len(means))


def ring(num_modes: int = 8, radius: float = 1.0, sigma: float = 0.01, turned: float = 0.0) -> Mixture:
    """Around a circle, turned by a part of the way to the next mode; by default as Srivastava et al. 2017 (VEEGAN),
    §4.1."""
    angles = [2 * math.pi * (k + turned) / num_modes for k in range(num_modes)]
    return even([(radius * math.cos(a), radius * math.sin(a)) for a in angles], sigma)


def grid(side: int = 5, spacing: float = 2.0, sigma: float = 0.05) -> Mixture:
    """On a square around 0; by default as Srivastava et al. 2017 (VEEGAN), §4.1."""
    places = [spacing * (k - (side - 1) / 2) for k in range(side)]
    return even([(x, y) for x in places for y in places], sigma)


def scaled(mixture: Mixture, factor: float) -> Mixture:
    """The density of `factor` times a draw."""
    means = tuple(tuple(factor * m for m in mean) for mean in mixture.means)
    return Mixture(means, tuple(factor * s for s in mixture.sigmas), mixture.weights)


def as_images(x_ND: Tensor) -> Tensor:
    """Points as images (N, D, 1, 1): what genray's models take."""
    return x_ND[..., None, None]


def spec_of(mixture: Mixture) -> DataSpec:
    return DataSpec(channels=mixture.dimensions, height=1, width=1, num_classes=0)


class Draws:
    """Batches of fresh draws, a function of (seed, step)."""

    def __init__(self, density: Density, *, seed: int, batch_size: int, steps_per_epoch: int) -> None:
        self.steps_per_epoch = steps_per_epoch
        self._density, self._seed, self._batch_size = density, seed, batch_size

    def __getitem__(self, step: int) -> Batch:
        return {"image": as_images(self._density.draw(self._batch_size, Noise(self._seed, step, "draws")))}
