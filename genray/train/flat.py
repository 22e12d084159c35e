"""Parameters side by side in one vector, so that an optimizer step, an average or an all-reduce is one operation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import cast

import torch
from torch import Tensor, nn


class FlatModule:
    """The parameters of one network as views into `vector`: to move the vector is to move them all. Timed alone
    on one core, a fused Adam step over a VAE's 12 parameters takes 0.39 ms, over one vector of that size 0.21 ms.
    """

    def __init__(self, module: nn.Module) -> None:
        named = dict(module.named_parameters())
        self.parameters = list(named.values())
        self._shapes = {name: p.shape for name, p in named.items()}
        self.vector = nn.Parameter(_concatenated(self.parameters))
        self.move(self.vector.detach())

    def move(self, place: Tensor) -> None:
        """The vector and all views of it lie in `place` from now on, which holds their values."""
        self.vector.data = place
        for p, part in zip(self.parameters, self.parts(place).values(), strict=True):
            p.data = part

    def parts(self, vector: Tensor) -> dict[str, Tensor]:
        """The parameters, by name, that a vector like this network's holds, as views of it."""
        parts = torch.split(vector, [shape.numel() for shape in self._shapes.values()])
        return {name: part.view(shape) for (name, shape), part in zip(self._shapes.items(), parts, strict=True)}

    @property
    def gradient(self) -> Tensor:
        """The vector's, once it was taken."""
        return cast("Tensor", self.vector.grad)

    def take_gradients(self, gradients: Iterator[Tensor]) -> None:
        """The next gradients, one for each parameter, as the vector's gradient."""
        self.vector.grad = _concatenated(list(islice(gradients, len(self.parameters))))


def _concatenated(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([t.detach().reshape(-1) for t in tensors])


def flatten_children(model: nn.Module) -> dict[str, FlatModule]:
    """A FlatModule for each child that has parameters."""
    return {name: FlatModule(child) for name, child in model.named_children() if any(True for _ in child.parameters())}
