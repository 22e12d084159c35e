"""One phase of several replicas as one: forward and backward under torch.func.vmap, as in HFTA (Wang et al. 2021)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    """What a loss reads besides parameters, each with a first dimension of R."""

    buffers: dict[str, Tensor]
    batch: Batch
    draws: list[Tensor]
    numbers: Tensor  # (R, K)


class Differentiated(NamedTuple):
    losses: Tensor  # (R, T)
    gradients: list[Tensor]  # (R, n), of each network that moves
    names: list[str]  # of T


class _Called(nn.Module):
    """A model's loss in the place of `forward`, for torch.func.functional_call."""

    def __init__(self, model: nn.Module, loss: Callable[[Batch, Noise], Loss]) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch: Batch, noise: Noise) -> Loss:
        return self.loss(batch, noise)


def differentiate(
    trainer: Trainer,
    runner: PhaseRunner,
    networks: Mapping[str, Tensor],
    given: Given,
    listed: Sequence[Draw],
    places: Sequence[Place],
) -> Differentiated:
    """Of the loss of a phase, `runner`'s, which draws what is `listed` and has numbers of its own in K `places`, with
    parameters (R, n) of all `networks`.

    The model of one trainer stands for all: nothing but tensors and these numbers may differ between them.
    """
    model, called = trainer.model, _Called(trainer.model, runner.phase.loss)
    moved = {name: vector for name, vector in networks.items() if name in runner.phase.updates}
    frozen = {name: vector for name, vector in networks.items() if name not in moved}
    names: list[str] = []

    def loss_of(moved: dict[str, Tensor], frozen: dict[str, Tensor], given: Given) -> tuple[Tensor, Tensor]:
        parameters = {
            f"model.{network}.{name}": part
            for network, vector in (moved | frozen).items()
            for name, part in trainer.networks[network].parts(vector).items()
        }
        buffers = {f"model.{name}": buffer for name, buffer in given.buffers.items()}
        noise = Handed(listed, given.draws, trainer.distributed.device)
        with replaced(model, places, given.numbers):
            loss: Loss = torch.func.functional_call(called, parameters | buffers, (given.batch, noise))
        names[:] = names_of(loss)
        return loss.total, values_of(loss)

    gradients, losses = torch.func.vmap(torch.func.grad(loss_of, has_aux=True))(moved, frozen, given)
    return Differentiated(losses, list(gradients.values()), names)
