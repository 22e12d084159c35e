"""Averaged weights, which samples are drawn with."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from genray.models.base import GenerativeModel
from genray.train.flat import FlatModule, flatten_children


class Ema:
    """An exponential moving average of a model's parameters. In the first steps it forgets faster, at rate
    min(decay, (1 + t) / (10 + t)), so that a short run is not an average with its random start (as in TensorFlow's
    ExponentialMovingAverage with `num_updates`). With decay 0 it is the model itself.
    """

    def __init__(self, model: GenerativeModel, networks: dict[str, FlatModule], decay: float) -> None:
        """`networks` are the model's own."""
        self._source, self.decay = model, decay
        self.model = copy.deepcopy(model).requires_grad_(False) if decay else model
        self.present: list[Tensor] = [network.vector for network in networks.values()]
        self.average: list[Tensor] = (
            [network.vector for network in flatten_children(self.model).values()] if decay else []
        )

    def update(self, step: int) -> None:
        """After step number `step`, counted from 1."""
        update_all([self], [step])

    @torch.no_grad()
    def evaluated(self) -> GenerativeModel:
        """The averaged model, with the present buffers (statistics and schedules are not averaged)."""
        for average, present in zip(self.model.buffers(), self._source.buffers(), strict=True):
            average.copy_(present)
        return self.model


@torch.no_grad()
def update_all(averages: Sequence[Ema], steps: Sequence[int]) -> None:
    """Each after a step of its own, counted from 1, in one operation."""
    moving = [(ema, min(ema.decay, (1 + step) / (10 + step))) for ema, step in zip(averages, steps, strict=True)]
    weights = [1.0 - decay for ema, decay in moving for _ in ema.average]
    if weights:
        present = [vector for ema, _ in moving for vector in ema.present[: len(ema.average)]]
        torch._foreach_lerp_([vector for ema, _ in moving for vector in ema.average], present, weights)
