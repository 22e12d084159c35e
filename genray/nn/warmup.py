"""A weight of a loss that grows over the first epochs."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Warmup(nn.Module):
    """Grows from 0 to `weight` over `epochs`; with 0 of them it is there from the start. A tensor, so that it changes
    no code path of a loss; not saved, as it is a function of progress, which a resumed run is told."""

    value: Tensor

    def __init__(self, weight: float, epochs: float) -> None:
        super().__init__()
        self._weight, self._epochs = weight, epochs
        self.register_buffer("value", torch.tensor(weight), persistent=False)

    def at(self, epoch: float) -> None:
        """Sets the value for so many epochs done."""
        if self._epochs:
            self.value.fill_(self._weight * min(1.0, epoch / self._epochs))
