"""Probabilistic PCA on pixels: one Gaussian with a few directions of its own and the same variance in all others."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genray.controls.base import Fitted
from genray.data.spec import DataSpec, Split
from genray.images import to_float
from genray.nn.noise import Noise

# N training images or samples, D pixels (channels included), K axes

NUM_AXES = 20  # as many as the models' codes have dimensions by default
MAX_IMAGES = 10_000  # that it is fitted to, evenly spread over the training split


class PCA(Fitted):
    """x = μ + Aᵀy + σ (I - AᵀA) ε with y ~ N(0, Λ), ε ~ N(0, I): Gaussian with mean μ and covariance
    AᵀΛA + σ² (I - AᵀA). Tipping & Bishop 1999, doi:10.1111/1467-9868.00196, eqs. 7 and 8 at the maximum likelihood.
    """

    mean: Tensor  # (D,)
    axes: Tensor  # (K, D), orthonormal rows
    variances: Tensor  # (K,), of the images along the axes
    noise_variance: Tensor  # scalar, along every other direction

    def __init__(self, found: Any, spec: DataSpec) -> None:
        """`found` is a fitted sklearn.decomposition.PCA."""
        super().__init__(spec, latent=len(found.components_))
        values = {
            "mean": found.mean_,
            "axes": found.components_,
            "variances": found.explained_variance_,
            "noise_variance": found.noise_variance_,
        }
        for name, value in values.items():
            self.register_buffer(name, torch.tensor(np.asarray(value), dtype=torch.float32))

    def sample(self, n: int, noise: Noise, *, label: Tensor | None = None) -> Tensor:
        """Not clipped to [-1, 1]: whoever makes pixels of them does."""
        return self.images(noise.normal(n, self.latent) * self.variances.sqrt(), noise)

    def images(self, codes_NK: Tensor, noise: Noise) -> Tensor:
        """Images (N, C, H, W) whose parts along the axes are given."""
        epsilon_ND = noise.normal(len(codes_NK), len(self.mean))
        across_ND = epsilon_ND - (epsilon_ND @ self.axes.T) @ self.axes
        pixels_ND = self.mean + codes_NK @ self.axes + self.noise_variance.sqrt() * across_ND
        return pixels_ND.view(-1, *self.spec.shape)


def fit(train: Split, spec: DataSpec, *, seed: int) -> PCA:
    return PCA(fit_axes(pixels_of(train), seed=seed), spec)


def pixels_of(train: Split) -> NDArray[np.float64]:
    """Pixels (N, D) in [-1, 1] of MAX_IMAGES training images at most."""
    return to_float(train.some(MAX_IMAGES).images).flatten(1).double().numpy()


def fit_axes(pixels_ND: NDArray[np.float64], *, seed: int) -> Any:
    """A fitted sklearn.decomposition.PCA. `seed` is for its randomized solver, which it takes for large images."""
    from sklearn import decomposition

    return decomposition.PCA(min(NUM_AXES, *pixels_ND.shape), random_state=seed).fit(pixels_ND)
