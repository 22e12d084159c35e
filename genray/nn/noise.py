"""Random numbers handed to a model: functions of (seed, step, place in the loss), the same on any number of ranks."""

from __future__ import annotations

import torch
from torch import Tensor

from genray.seeds import stream_seed


class Noise:
    """Draws for one evaluation of a loss. Each draw is made for the global batch and sliced by rank, so the first
    dimension of every shape is this rank's part of the batch: `normal(64, 20)` on the second of two ranks gives rows
    64 to 128 of a (128, 20) draw. Draws follow each other in the order in which they are asked for.
    """

    def __init__(self, *key: int | str, device: torch.device | str = "cpu", rank: int = 0, world_size: int = 1) -> None:
        """`key` names the stream: (seed, step, phase), say. Equal keys give equal draws."""
        self._generator = torch.Generator(device=device)
        self._generator.manual_seed(stream_seed(*key))
        self.device, self._rank, self._world_size = device, rank, world_size

    @classmethod
    def drawn_by(cls, generator: torch.Generator) -> Noise:
        """On one rank, from a generator whose seed is set elsewhere: to `stream_seed` of the key."""
        noise = cls.__new__(cls)
        noise._generator, noise.device, noise._rank, noise._world_size = generator, generator.device, 0, 1
        return noise

    def normal(self, *shape: int) -> Tensor:
        """Standard normal draws of `shape`."""
        return self._mine(torch.randn(self._global(shape), generator=self._generator, device=self.device), shape)

    def uniform(self, *shape: int) -> Tensor:
        """Draws of `shape`, uniform on [0, 1)."""
        return self._mine(torch.rand(self._global(shape), generator=self._generator, device=self.device), shape)

    def dropout(self, x: Tensor, p: float) -> Tensor:
        """Zeroes each value of x with probability p and scales the rest by 1 / (1 - p)."""
        if p == 0.0:
            return x
        kept = (self.uniform(*x.shape) >= p).to(x.dtype)  # on a CPU a product with bools takes twice as long
        return x * kept / (1.0 - p)

    def _global(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape[0] * self._world_size, *shape[1:]

    def _mine(self, draw: Tensor, shape: tuple[int, ...]) -> Tensor:
        return draw if self._world_size == 1 else draw[self._rank * shape[0] : (self._rank + 1) * shape[0]]


def dropout(x: Tensor, p: float, noise: Noise | None) -> Tensor:
    """Dropout while training; nothing where `noise` is None, which means evaluation."""
    return x if noise is None else noise.dropout(x, p)
