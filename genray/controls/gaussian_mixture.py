"""A Gaussian mixture on pixels, whose components differ along the axes of the PCA control and share all others.

A full covariance of all pixels for each component is out of reach: of MNIST's 784, one step of expectation maximization
over 10,000 images is 2.5e11 operations.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from genray.controls.pca import PCA, fit_axes, pixels_of
from genray.data.spec import DataSpec, Split
from genray.nn.noise import Noise
from genray.samplers import Mixture
from genray.samplers import fit as fit_mixture

# N images, D pixels (channels included), K axes


class GaussianMixture(PCA):
    """As PCA, with a mixture of Gaussians with full covariances in place of N(0, Λ)."""

    def __init__(self, found: Any, mixture: Mixture, spec: DataSpec) -> None:
        super().__init__(found, spec)
        for name in ("weights", "means", "factors"):
            self.register_buffer(name, getattr(mixture, name))

    def sample(self, n: int, noise: Noise, *, label: Tensor | None = None) -> Tensor:
        mixture = Mixture(self.get_buffer("weights"), self.get_buffer("means"), self.get_buffer("factors"))
        return self.images(mixture.draw(n, noise), noise)


def fit(train: Split, spec: DataSpec, *, seed: int) -> GaussianMixture:
    pixels_ND = pixels_of(train)
    found = fit_axes(pixels_ND, seed=seed)
    return GaussianMixture(found, fit_mixture(found.transform(pixels_ND), seed=seed), spec)
