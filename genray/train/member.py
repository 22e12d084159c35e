"""A member of a pack: a trainer whose tensors stay in their places while captured steps read them, and what takes its
place when it has left."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from genray.data.batches import Batches
from genray.models.base import Batch
from genray.seeds import stream_seed
from genray.train.steps import key_of
from genray.train.trainer import Trainer

# B images of a batch, K numbers in which members' models differ


class Member:
    """A trainer, and what a captured step is told of it."""

    def __init__(self, trainer: Trainer, numbers: Tensor) -> None:
        """`numbers` (K,) are those of the model in which members differ."""
        self.trainer, self.numbers = trainer, numbers
        self.generators = [torch.Generator(trainer.distributed.device) for _ in trainer.phases]
        self.batch: Batch = {}  # of the next step, and where it is taken of a split by
        self.index = torch.empty(0, dtype=torch.int64)  # (B,)

    def tell(self, step: int, due: Sequence[int]) -> None:
        """Before a step: its batch, and the seeds of its noise."""
        trainer = self.trainer
        if isinstance(trainer.batches, Batches):
            self.index = trainer.batches.index(step)
        else:
            self.batch = trainer.batches[step]
        for phase in due:
            self.generators[phase].manual_seed(stream_seed(*key_of(trainer.experiment, step, trainer.phases[phase])))

    def tensors(self) -> list[Tensor]:
        """All that a captured step reads and writes, but for what it is told before each step."""
        vectors = [network.vector for network in self.trainer.networks.values()]
        states = [tensor for runner in self.trainer.phases for tensor in runner.tensors()]
        return [*vectors, *self.trainer.model.buffers(), *states, self.numbers]

    def leave(self) -> list[Tensor]:
        """What it has is its own from now on. Returns where it was."""
        places = [tensor.data for tensor in self.tensors()]
        self._move([place.clone() for place in places])
        return places

    def take_over(self, vacancy: Vacancy) -> bool:
        """What it has lies from now on where the other one's was. Whether a step that was captured there is its own."""
        other = vacancy.member
        for mine, theirs in zip(self.trainer.phases, other.trainer.phases, strict=True):
            mine.begin_like(theirs)
        tensors = self.tensors()
        if len(tensors) != len(vacancy.tensors):
            return False
        for tensor, place in zip(tensors, vacancy.tensors, strict=True):
            place.copy_(tensor.detach())
        self._move(vacancy.tensors)
        self.generators = other.generators
        return self.constants() == other.constants()

    def _move(self, places: Sequence[Tensor]) -> None:
        """`places` hold what its tensors do."""
        for tensor, place in zip(self.tensors(), places, strict=True):
            tensor.data = place
        for network in self.trainer.networks.values():
            network.move(network.vector.data)
        self.trainer.forget_steps()

    def constants(self) -> Hashable:
        """What a captured step keeps of the optimizers, and does not read."""
        return tuple(runner.constants() for runner in self.trainer.phases)


class Vacancy(NamedTuple):
    """What a member has left behind, for the next one."""

    member: Member
    tensors: list[Tensor]
