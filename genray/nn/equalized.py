"""Layers with an equalized learning rate, and what keeps the size of their activations (Karras et al. 2018, §4)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genray.nn.blocks import HE_GAIN

# B images, C channels, H height, W width

EPSILON = 1e-8


class ScaledConv2d(nn.Module):
    """A convolution that keeps the size of its images (B, C, H, W).

    Equalized, its weights are drawn from N(0, 1) and multiplied by He's constant at every use: Adam, whose steps do not
    know the size of a weight, then moves all layers alike. Else they are drawn with that constant. The first images
    that come out are the same.
    """

    def __init__(
        self, channels_in: int, channels_out: int, kernel_size: int, *, equalized: bool, gain: float = HE_GAIN
    ) -> None:
        super().__init__()
        constant = he_constant(channels_in * kernel_size**2, gain)
        self.scale, drawn_scale = (constant, 1.0) if equalized else (1.0, constant)
        self.weight = nn.Parameter(drawn_scale * torch.randn(channels_out, channels_in, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.scale * self.weight, self.bias, padding="same")


class ScaledLinear(nn.Module):
    """The same for vectors (B, D)."""

    def __init__(self, size_in: int, size_out: int, *, equalized: bool, gain: float = HE_GAIN) -> None:
        super().__init__()
        constant = he_constant(size_in, gain)
        self.scale, drawn_scale = (constant, 1.0) if equalized else (1.0, constant)
        self.weight = nn.Parameter(drawn_scale * torch.randn(size_out, size_in))
        self.bias = nn.Parameter(torch.zeros(size_out))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.scale * self.weight, self.bias)


def he_constant(fan_in: int, gain: float) -> float:
    """The standard deviation of weights that keep the spread of activations. He et al. 2015."""
    return gain / math.sqrt(fan_in)


def pixel_norm(x: Tensor, num_reference: int | None = None) -> Tensor:
    """Every pixel's channels, x (B, C, ...), to a mean square of 1. Karras et al. 2018, §4.2."""
    return x * (x.square().mean(1, keepdim=True) + EPSILON).rsqrt()


def batch_norm(x: Tensor, num_reference: int | None = None) -> Tensor:
    """Every channel of x (B, C, H, W) to mean 0 and variance 1 over the batch, by the statistics of its first
    `num_reference` images; None: of all.

    Ioffe & Szegedy 2015 without running statistics, which a pure loss cannot move and which are none of averaged
    weights: instead, a fixed reference batch is sent along when images are drawn (Salimans et al. 2016, §3.5).
    """
    variance, mean = torch.var_mean(x[:num_reference], dim=(0, 2, 3), keepdim=True, correction=0)
    return (x - mean) * (variance + EPSILON).rsqrt()


def no_norm(x: Tensor, num_reference: int | None = None) -> Tensor:
    return x
