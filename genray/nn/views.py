"""How a view enters networks and leaves them: an image, or a label as a vector of probabilities."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genray.data.spec import DataSpec
from genray.nn.blocks import SLOPE, Network, image_to_vector, linear, vector_to_image, vector_to_vector
from genray.nn.likelihoods import Bernoulli, Categorical, Gaussian, Likelihood, mean_image
from genray.nn.noise import Noise
from genray.nn.pairs import LabelSpec
from genray.nn.posteriors import DiagonalGaussian
from genray.settings import ModelConfig

# B images, Z latent dimensions, F features


class View(ABC):
    """One view of a pair: which networks read and write it. It holds none itself."""

    @abstractmethod
    def reader(self, config: ModelConfig, size: int) -> Network:
        """View (B, ...) → (B, size)."""

    @abstractmethod
    def writer(self, config: ModelConfig) -> Network:
        """Codes (B, Z) → logits (B, ...) of the view."""

    @abstractmethod
    def likelihood(self, kind: Literal["bernoulli", "gaussian"], sigma: float | Literal["learned"]) -> Likelihood:
        """p(x|z); `kind` and `sigma` are of an image's pixels."""

    @abstractmethod
    def mean(self, logits: Tensor) -> Tensor:
        """The mean of p(x|z): an image in [-1, 1], or probabilities of the classes."""


class ImageView(View):
    def __init__(self, spec: DataSpec) -> None:
        self._spec = spec

    def reader(self, config: ModelConfig, size: int) -> Network:
        return image_to_vector(config, self._spec, size, config.dropout)

    def writer(self, config: ModelConfig) -> Network:
        return vector_to_image(config, self._spec, config.latent, config.dropout)

    def likelihood(self, kind: Literal["bernoulli", "gaussian"], sigma: float | Literal["learned"]) -> Likelihood:
        return Bernoulli() if kind == "bernoulli" else Gaussian(sigma)

    def mean(self, logits: Tensor) -> Tensor:
        return mean_image(logits)


class LabelView(View):
    def __init__(self, spec: LabelSpec) -> None:
        self._num_classes = spec.num_classes

    def reader(self, config: ModelConfig, size: int) -> Network:
        return vector_to_vector(config.hidden, self._num_classes, size, config.dropout)

    def writer(self, config: ModelConfig) -> Network:
        return vector_to_vector(config.hidden, config.latent, self._num_classes, config.dropout)

    def likelihood(self, kind: Literal["bernoulli", "gaussian"], sigma: float | Literal["learned"]) -> Likelihood:
        return Categorical()

    def mean(self, logits: Tensor) -> Tensor:
        return logits.softmax(1)


class Encoder(nn.Module):
    """q(z|x₁), or q(z|x₁, x₂): each view is read by a network of its own, a linear layer sees all their features."""

    def __init__(self, config: ModelConfig, *views: View) -> None:
        super().__init__()
        self.readers = nn.ModuleList(view.reader(config, config.hidden) for view in views)
        self.posterior = linear(len(views) * config.hidden, 2 * config.latent, gain=1.0)

    def forward(self, *views: Tensor, noise: Noise | None = None) -> DiagonalGaussian:
        """Without noise there is no dropout."""
        read = [reader(view, noise) for reader, view in zip(self.readers, views, strict=True)]
        features = F.leaky_relu(torch.cat(read, dim=1), SLOPE)
        mu, logvar = self.posterior(features).chunk(2, dim=1)
        return DiagonalGaussian(mu, logvar)

    if TYPE_CHECKING:  # torch types the call of any module as giving Any

        def __call__(self, *views: Tensor, noise: Noise | None = None) -> DiagonalGaussian: ...
