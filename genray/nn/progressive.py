"""The two networks that grow (Karras et al. 2018, table 2). The layers of every level are there from the start; a stage
says which of them take part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genray.nn.blocks import SLOPE
from genray.nn.equalized import ScaledConv2d, ScaledLinear
from genray.nn.growth import SMALLEST, Stage, double, halve
from genray.nn.minibatch import MinibatchDiscrimination, with_minibatch_stddev
from genray.nn.noise import Noise, dropout

# B images, C channels, S side of an image, Z latent dimensions; channels[k] those of level k

AREA = SMALLEST**2
Normalize = Callable[[Tensor, int | None], Tensor]


class Layers(nn.Module):
    """Two convolutions, each followed by LeakyReLU and a normalization."""

    def __init__(self, *channels: int, equalized: bool, normalize: Normalize) -> None:
        super().__init__()
        self.layers = nn.ModuleList(ScaledConv2d(a, b, 3, equalized=equalized) for a, b in pairwise(channels))
        self.normalize = normalize

    def forward(self, x: Tensor, num_reference: int | None = None) -> Tensor:
        for layer in self.layers:
            x = self.normalize(F.leaky_relu(layer(x), SLOPE), num_reference)
        return x


class Generator(nn.Module):
    """Codes (B, Z) → images (B, C, S, S) of a stage's level, not bounded."""

    def __init__(
        self, latent: int, channels: Sequence[int], image_channels: int, *, equalized: bool, normalize: Normalize
    ) -> None:
        super().__init__()
        self.normalize = normalize
        self.first = ScaledLinear(latent, channels[0] * AREA, equalized=equalized)
        widths = [(channels[0], channels[0]), *((a, b, b) for a, b in pairwise(channels))]
        self.levels = nn.ModuleList(Layers(*w, equalized=equalized, normalize=normalize) for w in widths)
        self.to_image = nn.ModuleList(
            ScaledConv2d(width, image_channels, 1, equalized=equalized, gain=1.0) for width in channels
        )

    def forward(self, z: Tensor, stage: Stage, num_reference: int | None = None) -> Tensor:
        """`num_reference`: of how many of the codes a batch normalization takes its statistics; None: of all."""
        x = F.leaky_relu(self.first(z).unflatten(1, (-1, SMALLEST, SMALLEST)), SLOPE)
        x = coarse = self.levels[0](self.normalize(x, num_reference), num_reference)
        for level in range(1, stage.level + 1):
            coarse, x = x, self.levels[level](double(x), num_reference)
        image: Tensor = self.to_image[stage.level](x)
        if stage.alpha is None:
            return image
        return torch.lerp(double(self.to_image[stage.level - 1](coarse)), image, stage.alpha)


class Critic(nn.Module):
    """Images (B, C, S, S) of a stage's level → scores (B, 1)."""

    def __init__(
        self,
        channels: Sequence[int],
        image_channels: int,
        *,
        equalized: bool,
        normalize: Normalize,
        dropout: float,
        minibatch_stddev: bool,
        num_kernels: int,
    ) -> None:
        super().__init__()
        width = channels[0]
        self.dropout, self.minibatch_stddev = dropout, minibatch_stddev
        self.from_image = nn.ModuleList(ScaledConv2d(image_channels, c, 1, equalized=equalized) for c in channels)
        widths = [(width + minibatch_stddev, width), *((b, b, a) for a, b in pairwise(channels))]
        self.levels = nn.ModuleList(Layers(*w, equalized=equalized, normalize=normalize) for w in widths)
        self.last = ScaledLinear(width * AREA, width, equalized=equalized)
        self.comparison = MinibatchDiscrimination(width, num_kernels) if num_kernels else nn.Identity()
        self.head = ScaledLinear(width + num_kernels, 1, equalized=equalized, gain=1.0)

    def features(self, images: Tensor, stage: Stage, noise: Noise | None = None) -> Tensor:
        """Activations (B, D) of the last hidden layer. Without noise there is no dropout."""
        x = self._enter(images, stage.level)
        for level in range(stage.level, 0, -1):
            x = halve(self.levels[level](x))
            if level == stage.level and stage.alpha is not None:
                x = torch.lerp(self._enter(halve(images), level - 1), x, stage.alpha)
            x = dropout(x, self.dropout, noise)
        x = self.levels[0](with_minibatch_stddev(x) if self.minibatch_stddev else x)
        return dropout(F.leaky_relu(self.last(x.flatten(1)), SLOPE), self.dropout, noise)

    def forward(self, images: Tensor, stage: Stage, noise: Noise | None = None) -> Tensor:
        return self.score(self.features(images, stage, noise))

    def score(self, features: Tensor) -> Tensor:
        output: Tensor = self.head(self.comparison(features))
        return output

    def _enter(self, images: Tensor, level: int) -> Tensor:
        return F.leaky_relu(self.from_image[level](images), SLOPE)
