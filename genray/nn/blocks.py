"""The networks that every model is built from, images to vectors and vectors to images, each as `mlp` and `conv`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genray.data.spec import DataSpec
from genray.errors import UserError
from genray.nn.noise import Noise, dropout
from genray.settings import ModelConfig

# B images, C channels, H height, W width

SLOPE = 0.2  # of LeakyReLU below 0, Radford et al. 2016
HE_GAIN = math.sqrt(2 / (1 + SLOPE**2))
SMALLEST = 8  # a conv net halves an image while its shorter side is at least this long

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


class Network(nn.Module):
    """Hidden layers, each followed by LeakyReLU and dropout, and a linear head. No layer looks across the batch."""

    def __init__(self, hidden: Sequence[nn.Module], head: nn.Module, dropout: float) -> None:
        super().__init__()
        self.hidden = nn.ModuleList(hidden)
        self.head = head
        self.dropout = dropout

    def features(self, x: Tensor, noise: Noise | None = None) -> Tensor:
        """Activations (B, ...) of the last hidden layer. Without noise there is no dropout."""
        for layer in self.hidden:
            x = dropout(F.leaky_relu(layer(x), SLOPE), self.dropout, noise)
        return x

    def forward(self, x: Tensor, noise: Noise | None = None) -> Tensor:
        """What the head gives, (B, ...). Without noise there is no dropout."""
        output: Tensor = self.head(self.features(x, noise))
        return output

    if TYPE_CHECKING:  # torch types the call of any module as giving Any

        def __call__(self, x: Tensor, noise: Noise | None = None) -> Tensor: ...


def image_to_vector(config: ModelConfig, spec: DataSpec, size: int, dropout: float = 0.0) -> Network:
    """Images (B, C, H, W) → (B, size): an encoder or a discriminator."""
    return _TO_VECTOR[config.network](config.hidden, spec, size, dropout)


def vector_to_image(config: ModelConfig, spec: DataSpec, size: int, dropout: float = 0.0) -> Network:
    """(B, size) → logits of images (B, C, H, W): a decoder or a generator."""
    return _TO_IMAGE[config.network](config.hidden, spec, size, dropout)


def vector_to_vector(width: int, size_in: int, size_out: int, dropout: float = 0.0) -> Network:
    """(B, size_in) → (B, size_out) through two hidden layers: a discriminator of codes."""
    return Network([linear(size_in, width), linear(width, width)], linear(width, size_out, gain=1.0), dropout)


def interleave(*parts: Tensor) -> Tensor:
    """Batches (B, ...) → one (kB, ...) with the parts of each image side by side, for one pass through a network.

    Noise is sliced by rank along the first dimension: one part after the other would give ranks each other's draws.
    """
    return parts[0] if len(parts) == 1 else torch.stack(parts, dim=1).flatten(0, 1)


def separate(x: Tensor, num_parts: int) -> tuple[Tensor, ...]:
    """The way back: (kB, ...) → k batches (B, ...)."""
    return x.view(-1, num_parts, *x.shape[1:]).unbind(1)


def _mlp_to_vector(hidden: int, spec: DataSpec, size: int, dropout: float) -> Network:
    first = nn.Sequential(nn.Flatten(), linear(spec.num_pixels, hidden))
    return Network([first, linear(hidden, hidden)], linear(hidden, size, gain=1.0), dropout)


def _mlp_to_image(hidden: int, spec: DataSpec, size: int, dropout: float) -> Network:
    head = nn.Sequential(linear(hidden, spec.num_pixels, gain=1.0), nn.Unflatten(1, spec.shape))
    return Network([linear(size, hidden), linear(hidden, hidden)], head, dropout)


def _conv_to_vector(hidden: int, spec: DataSpec, size: int, dropout: float) -> Network:
    sizes, channels = _pyramid(hidden, spec)
    levels = [_halve(fine, coarse) for fine, coarse in pairwise(channels)]
    head = nn.Sequential(nn.Flatten(), linear(channels[-1] * math.prod(sizes[-1]), size, gain=1.0))
    return Network(levels, head, dropout)


def _conv_to_image(hidden: int, spec: DataSpec, size: int, dropout: float) -> Network:
    sizes, channels = _pyramid(hidden, spec)
    sizes.reverse()
    channels.reverse()
    coarsest = (channels[0], *sizes[0])
    first = nn.Sequential(linear(size, math.prod(coarsest)), nn.Unflatten(1, coarsest))
    levels = [
        _double(coarse, fine, from_size, to_size)
        for (coarse, fine), (from_size, to_size) in zip(pairwise(channels), pairwise(sizes), strict=True)
    ]
    return Network([first, *levels[:-1]], levels[-1], dropout)


def _pyramid(hidden: int, spec: DataSpec) -> tuple[list[tuple[int, int]], list[int]]:
    """Size and channels of each level, the image first: `hidden` channels at the coarsest, half of them above it."""
    if min(spec.height, spec.width) < SMALLEST:
        raise UserError(
            f"network conv needs images of at least {SMALLEST} x {SMALLEST}, got {spec.height} x {spec.width}; take mlp"
        )
    sizes = [(spec.height, spec.width)]
    while min(sizes[-1]) >= SMALLEST:
        height, width = sizes[-1]
        sizes.append((height // 2, width // 2))
    channels = [max(1, hidden >> level) for level in range(len(sizes) - 1)]
    return sizes, [spec.channels, *channels[::-1]]


def linear(size_in: int, size_out: int, *, gain: float = HE_GAIN) -> nn.Linear:
    return _initialized(nn.Linear(size_in, size_out), fan_in=size_in, gain=gain)


def _halve(channels_in: int, channels_out: int) -> nn.Conv2d:
    """(B, C, H, W) → (B, C', ⌊H/2⌋, ⌊W/2⌋)."""
    return _initialized(nn.Conv2d(channels_in, channels_out, 4, stride=2, padding=1), fan_in=channels_in * 16)


def _double(
    channels_in: int, channels_out: int, from_size: tuple[int, int], to_size: tuple[int, int]
) -> nn.ConvTranspose2d:
    """The way back, to 2H or 2H + 1. A kernel of twice the stride leaves no checkerboard (Odena et al. 2016)."""
    odd = (to_size[0] - 2 * from_size[0], to_size[1] - 2 * from_size[1])
    layer = nn.ConvTranspose2d(channels_in, channels_out, 4, stride=2, padding=1, output_padding=odd)
    return _initialized(layer, fan_in=channels_in * 4)  # each value is reached by 4 of the kernel's 16


def _initialized(layer: Layer, *, fan_in: int, gain: float = HE_GAIN) -> Layer:
    """He et al. 2015: the spread of activations is kept from layer to layer. torch's own default shrinks it."""
    weight, bias = layer.parameters()
    nn.init.normal_(weight, std=gain / math.sqrt(fan_in))
    nn.init.zeros_(bias)
    return layer


_TO_VECTOR = {"mlp": _mlp_to_vector, "conv": _conv_to_vector}
_TO_IMAGE = {"mlp": _mlp_to_image, "conv": _conv_to_image}
