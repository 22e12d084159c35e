"""The density of a generator that nobody knows, in two dimensions: a kernel density of very many draws."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.interpolate import RegularGridInterpolator
from scipy.ndimage import gaussian_filter
from torch import Tensor

from genray.models.base import GenerativeModel
from genray.nn.noise import Noise
from genray.studies._densities import FloatArray

# N points, D = 2 dimensions, M cells along a side

TRUNCATE = 6.0  # standard deviations of the kernel


class KernelDensity:
    """p_g ∗ N(0, h²I): the density of a generator's draw to which noise of standard deviation h is added.

    Of that density, which D is trained on, a kernel density of bandwidth h is an estimate without bias; what error it
    has is that of the number of draws, and `standard_error` says how large that is.
    """

    def __init__(self, model: GenerativeModel, bandwidth: float, *, num_draws: int, side: float, cells: int) -> None:
        """The density is kept on `cells` x `cells` cells of [-side, side]²."""
        self._model, self._bandwidth = model, bandwidth
        edges = np.linspace(-side, side, cells + 1)
        width = float(edges[1] - edges[0])
        draws = self._generate(num_draws, Noise("kernel density")).double().numpy()
        counts_MM = np.histogram2d(draws[:, 0], draws[:, 1], bins=(edges, edges))[0] / (num_draws * width**2)
        # a draw anywhere in its cell counts as if in the middle: that adds width²/12 to the variance
        kernel = math.sqrt(bandwidth**2 - width**2 / 12) / width
        density_MM = _blur(counts_MM, kernel)
        squares_MM = _blur(counts_MM, kernel / math.sqrt(2)) / (4 * math.pi * bandwidth**2)  # of the kernel's square
        variance_MM = np.clip(squares_MM - density_MM**2, 0, None) / num_draws
        middles = (edges[:-1] + edges[1:]) / 2
        self._density = _interpolator(middles, density_MM)
        self._standard_error = _interpolator(middles, np.sqrt(variance_MM))

    def draw(self, n: int, noise: Noise) -> Tensor:
        """n draws (n, 2) of the generator, with the noise."""
        return self._generate(n, noise) + self._bandwidth * noise.normal(n, 2)

    @torch.no_grad()
    def _generate(self, n: int, noise: Noise) -> Tensor:
        return self._model.sample(n, noise).flatten(1)

    def density(self, x_ND: FloatArray) -> FloatArray:
        """(N,)"""
        return np.asarray(self._density(x_ND))

    def standard_error(self, x_ND: FloatArray) -> FloatArray:
        """Of the density (N,)."""
        return np.asarray(self._standard_error(x_ND))


def _blur(values_MM: FloatArray, cells: float) -> FloatArray:
    return np.asarray(gaussian_filter(values_MM, cells, mode="constant", truncate=TRUNCATE))


def _interpolator(middles: FloatArray, values_MM: FloatArray) -> RegularGridInterpolator:
    return RegularGridInterpolator((middles, middles), values_MM, bounds_error=False, fill_value=0.0)
