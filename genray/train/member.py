"""A member of a pack: a trainer whose tensors are rows of the pack's, so that one operation is on all members'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from genray.data.batches import Batches
from genray.dtypes import widest
from genray.models.base import Batch
from genray.seeds import stream_seed
from genray.train.adamw import Moments
from genray.train.steps import key_of
from genray.train.trainer import Trainer

# R members, B images of a batch, n parameters of a network, K numbers in which members' models differ


class Held(NamedTuple):
    """All that a step reads and writes of a member, but for what it is told before each. Of a pack the same tensors,
    each with a first dimension of R."""

    networks: dict[str, Tensor]  # (n,)
    buffers: dict[str, Tensor]
    numbers: Tensor  # (K,)
    rates: list[Tensor]  # (), of each phase, as all that follows
    constants: list[Tensor]  # (5,)
    moments: list[list[Moments]]  # of each network that the phase moves

    def tensors(self) -> list[Tensor]:
        moments = [tensor for phase in self.moments for of_network in phase for tensor in of_network]
        return [*self.networks.values(), *self.buffers.values(), self.numbers, *self.rates, *self.constants, *moments]

    def like(self, tensors: Sequence[Tensor]) -> Held:
        """The same of other tensors, in the order of `tensors()`."""
        left = iter(tensors)
        return Held(
            {name: next(left) for name in self.networks},
            {name: next(left) for name in self.buffers},
            next(left),
            [next(left) for _ in self.rates],
            [next(left) for _ in self.constants],
            [[Moments(*(next(left) for _ in of_network)) for of_network in phase] for phase in self.moments],
        )


@torch.no_grad()
def stacked(held: Sequence[Held]) -> Held:
    """What members hold, row by row."""
    return held[0].like([torch.stack(rows) for rows in zip(*(each.tensors() for each in held), strict=True)])


class Member:
    """A trainer, and what a step is told of it."""

    def __init__(self, trainer: Trainer, numbers: Tensor) -> None:
        """`numbers` (K,) are those of the model in which members differ."""
        self.trainer, self.numbers = trainer, numbers
        device = trainer.distributed.device
        self.constants = [torch.tensor(p.constants(), dtype=widest(device), device=device) for p in trainer.phases]
        self.batch: Batch = {}  # of the next step, and where it is taken of a split by
        self.index = torch.empty(0, dtype=torch.int64)  # (B,)

    def tell(self, step: int, due: Mapping[int, torch.Generator]) -> None:
        """Before a step: its batch, and to what draws the noise of each phase that is due, its seed."""
        trainer = self.trainer
        if isinstance(trainer.batches, Batches):
            self.index = trainer.batches.index(step)
        else:
            self.batch = trainer.batches[step]
        for phase, generator in due.items():
            generator.manual_seed(stream_seed(*key_of(trainer.experiment, step, trainer.phases[phase])))

    def held(self) -> Held:
        phases = self.trainer.phases
        return Held(
            {name: network.vector for name, network in self.trainer.networks.items()},
            dict(self.trainer.model.named_buffers()),
            self.numbers,
            [phase.rate for phase in phases],
            self.constants,
            [phase.moments() for phase in phases],
        )

    def move(self, places: Sequence[Tensor]) -> None:
        """What it has lies in these places from now on, in the order of `Held.tensors`; they hold its values."""
        for tensor, place in zip(self.held().tensors(), places, strict=True):
            tensor.data = place
        for network in self.trainer.networks.values():
            network.move(network.vector.data)
        self.trainer.forget_steps()
