"""Spectral normalization (Miyato et al. 2018) as a plain layer: losses read its vectors, the model's `set_progress`
moves them, so that a loss stays a pure function."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NUM_FIRST_ITERATIONS = 15  # as torch's own: u and v are close to singular vectors before the first step


class SpectralNorm(nn.Module):
    """A linear or convolutional layer whose weight, as a matrix (outputs, all else), has largest singular value 1."""

    def __init__(self, layer: nn.Linear | nn.Conv2d) -> None:
        super().__init__()
        self.layer = layer
        self.u: Tensor  # (outputs,) and
        self.v: Tensor  # (all else,): the first singular vectors, of length 1
        self.register_buffer("u", torch.zeros(len(layer.weight)))
        self.register_buffer("v", torch.randn(layer.weight[0].numel()))
        for _ in range(NUM_FIRST_ITERATIONS):
            self.iterate()

    def sigma(self) -> Tensor:
        """uᵀWv, the largest singular value but for what the power iteration has still to find."""
        # a product in bfloat16 beside a vector in float32 is none
        with torch.autocast(self.u.device.type, enabled=False):
            return torch.dot(self.u, self.layer.weight.flatten(1) @ self.v)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.layer(x / self.sigma())  # (W/σ)x = W(x/σ)
        return output

    @torch.no_grad()
    def iterate(self) -> None:
        """One power iteration."""
        matrix = self.layer.weight.flatten(1)
        self.u.copy_(F.normalize(matrix @ self.v, dim=0))
        self.v.copy_(F.normalize(self.u @ matrix, dim=0))


def normalize_spectrally(network: nn.Module) -> None:
    """Puts a SpectralNorm around every linear and convolutional layer of `network`."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Linear | nn.Conv2d):
                setattr(parent, name, SpectralNorm(child))


def iterate(network: nn.Module) -> None:
    """One power iteration of every SpectralNorm in `network`, as before a step."""
    for module in network.modules():
        if isinstance(module, SpectralNorm):
            module.iterate()
