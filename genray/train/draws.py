"""Noise of members of a pack: the list of a loss's draws is learned from one evaluation, each member's draws are made
by its own noise, and the loss is handed them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from genray.nn.noise import Noise


class Draw(NamedTuple):
    kind: str  # a method of Noise
    shape: tuple[int, ...]

    def by(self, noise: Noise) -> Tensor:
        draw: Tensor = getattr(noise, self.kind)(*self.shape)
        return draw


class Listing(Noise):
    """Noise that notes what is drawn of it."""

    def __init__(self, *key: int | str, device: torch.device | str = "cpu") -> None:
        super().__init__(*key, device=device)
        self.draws: list[Draw] = []

    def normal(self, *shape: int) -> Tensor:
        self.draws.append(Draw("normal", tuple(shape)))
        return super().normal(*shape)

    def uniform(self, *shape: int) -> Tensor:
        self.draws.append(Draw("uniform", tuple(shape)))
        return super().uniform(*shape)


class Handed(Noise):
    """Noise whose draws were made before."""

    def __init__(self, listed: Sequence[Draw], drawn: Sequence[Tensor], device: torch.device | str) -> None:
        self.device = device
        self._left: Iterator[tuple[Draw, Tensor]] = iter(zip(listed, drawn, strict=True))

    def normal(self, *shape: int) -> Tensor:
        return self._next(Draw("normal", tuple(shape)))

    def uniform(self, *shape: int) -> Tensor:
        return self._next(Draw("uniform", tuple(shape)))

    def _next(self, asked: Draw) -> Tensor:
        """Raises RuntimeError for a draw that was not the next one before: the loss is then no function of what it is
        given."""
        listed, drawn = next(self._left, (None, None))
        if listed != asked or drawn is None:
            raise RuntimeError(f"its draws follow each other in another order: {asked} where {listed} came before")
        return drawn
