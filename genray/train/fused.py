"""One phase of several replicas as one: forward and backward under torch.func.vmap, as in HFTA (Wang et al. 2021)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from genray.models.base import Batch, Loss
from genray.nn.noise import Noise
from genray.train.draws import Draw, Handed
from genray.train.numbers import Place, replaced
from genray.train.phases import PhaseRunner, names_of, values_of
from genray.train.trainer import Trainer

# R replicas, n parameters of a network, K numbers that replicas may differ in, T loss and terms


class Given(NamedTuple):
    """What a loss reads besides parameters and buffers, each with a first dimension of R."""

    batch: Batch
    draws: list[Tensor]
    numbers: Tensor  # (R, K)


class _Called(nn.Module):
    """A model's loss in the place of `forward`, for torch.func.functional_call."""

    def __init__(self, model: nn.Module, loss: Callable[[Batch, Noise], Loss]) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch: Batch, noise: Noise) -> Loss:
        return self.loss(batch, noise)


def differentiate(
    trainers: Sequence[Trainer],
    runners: Sequence[PhaseRunner],
    given: Given,
    listed: Sequence[Draw],
    places: Sequence[Place],
) -> tuple[Tensor, list[Tensor]]:
    """Loss and terms (R, T), and gradients (R, n) of the networks that the phase moves. `runners` are the trainers' of
    one phase, whose loss draws what is `listed` and has numbers of its own in K `places`.

    The first trainer's model stands for all: nothing but tensors and these numbers may differ between them.
    """
    trainer, runner = trainers[0], runners[0]
    model, called = trainer.model, _Called(trainer.model, runner.phase.loss)
    vectors = {name: torch.stack([t.networks[name].vector.detach() for t in trainers]) for name in trainer.networks}
    moved = {name: vectors.pop(name) for name in list(vectors) if name in runner.phase.updates}
    held = [dict(t.model.named_buffers()) for t in trainers]
    buffers = {f"model.{name}": torch.stack([buffer[name] for buffer in held]) for name in held[0]}
    names: list[str] = []

    def loss_of(
        moved: dict[str, Tensor], frozen: dict[str, Tensor], buffers: dict[str, Tensor], given: Given
    ) -> tuple[Tensor, Tensor]:
        parameters = {
            f"model.{network}.{name}": part
            for network, vector in (moved | frozen).items()
            for name, part in trainer.networks[network].parts(vector).items()
        }
        noise = Handed(listed, given.draws, trainer.distributed.device)
        with replaced(model, places, given.numbers):
            loss: Loss = torch.func.functional_call(called, parameters | buffers, (given.batch, noise))
        names[:] = names_of(loss)
        return loss.total, values_of(loss)

    of_each = torch.func.vmap(torch.func.grad(loss_of, has_aux=True))
    gradients, losses = of_each(moved, vectors, buffers, given)
    for each in runners:
        each.names = list(names)
    return losses, [gradients[name] for name in moved]
