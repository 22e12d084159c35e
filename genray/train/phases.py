"""One phase of a model in training: the networks that it moves, and their optimizer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from genray.config import Experiment
from genray.errors import Fault
from genray.models.base import Loss, Phase
from genray.runs import Row
from genray.train.adamw import Constants, Moments, no_moments
from genray.train.distributed import Distributed
from genray.train.flat import FlatModule


class PhaseRunner:
    """One phase with the networks that it moves, its optimizer and the losses of the present epoch."""

    def __init__(self, phase: Phase, networks: dict[str, FlatModule], experiment: Experiment) -> None:
        config = experiment.optimizer.resolve(phase.name, phase.optimizer)
        self.phase, self._clip_norm = phase, config.clip_norm
        self.moved = [network for name, network in networks.items() if name in phase.updates]
        self._frozen = [network for name, network in networks.items() if name not in phase.updates]
        self._learning_rate = config.learning_rate
        self._parameters = [p for network in self.moved for p in network.parameters]
        vectors = [network.vector for network in self.moved]
        device = vectors[0].device
        # torch's fused kernel takes a rate that lies on a GPU as float32
        rate = torch.tensor(
            config.learning_rate, dtype=torch.float64 if device.type == "cpu" else torch.float32, device=device
        )
        self.optimizer = torch.optim.AdamW(
            vectors,
            rate,
            config.betas,
            weight_decay=config.weight_decay,
            fused=True,
            capturable=device.type == "cuda",  # where a step is replayed
        )
        for vector in vectors:
            self.optimizer.state[vector] = no_moments(vector)
        self.names: list[str] = []
        self._losses: list[tuple[int, Tensor]] = []

    def update(self, loss_of: Callable[[], Loss], distributed: Distributed) -> Tensor:
        """A step along the gradient, averaged over ranks. Returns the loss and its terms, in one vector."""
        losses = self.differentiate(loss_of)
        distributed.average([network.gradient for network in self.moved])
        self._step()
        return losses

    def differentiate(self, loss_of: Callable[[], Loss]) -> Tensor:
        """The gradient of the loss with respect to this phase's parameters alone, into their networks. Returns the loss
        and its terms, in one vector."""
        for networks, moves in ((self._frozen, False), (self.moved, True)):
            for network in networks:
                for p in network.parameters:
                    p.requires_grad_(moves)
        loss = loss_of()
        # parameters of levels that are still to grow get zeros
        gradients = iter(torch.autograd.grad(loss.total, self._parameters, allow_unused=True, materialize_grads=True))
        for network in self.moved:
            network.take_gradients(gradients)
        self.names = names_of(loss)
        return values_of(loss)

    def _step(self) -> None:
        """Along the gradient that the networks hold."""
        if self._clip_norm is not None:
            torch.nn.utils.clip_grad_norm_([network.vector for network in self.moved], self._clip_norm)
        self.optimizer.step()

    def note(self, step: int, losses: Tensor) -> None:
        """What `update` returned at a step."""
        self._losses.append((step, losses))

    def scale_learning_rate(self, factor: float) -> None:
        self.rate.fill_(self._learning_rate * factor)

    def forget(self) -> None:
        """The optimizer as it was before its first step; in the same place, which a captured step reads."""
        for moments in self.optimizer.state.values():
            for moment in moments.values():
                moment.zero_()

    def state(self) -> dict[str, Any]:
        """The moments. What the experiment says is not among them: a rate of float64 would not be loaded on MPS."""
        return {"state": self.optimizer.state_dict()["state"]}

    def restore(self, state: dict[str, Any]) -> None:
        """Moments as `state` gave them, on this device or another."""
        mine = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict(state | {"param_groups": mine})

    @property
    def rate(self) -> Tensor:
        """The learning rate (), which is written in its place."""
        rate: Tensor = self.optimizer.param_groups[0]["lr"]
        return rate

    def moments(self) -> list[Moments]:
        """Of each network that moves."""
        return [Moments(**self.optimizer.state[network.vector]) for network in self.moved]

    def constants(self) -> Constants:
        """What is the same at every step."""
        [group] = self.optimizer.param_groups
        clip_norm = math.inf if self._clip_norm is None else self._clip_norm
        beta1, beta2 = group["betas"]
        return Constants(beta1, beta2, group["weight_decay"], group["eps"], clip_norm)

    def end_epoch(self, distributed: Distributed) -> Row:
        """Means of the loss and its terms over the epoch. The one place that waits for the device: a loss that was
        not finite at any step is found here, and raised with the step, phase and terms at which it began."""
        if not self._losses:  # a phase that had no turn: fewer steps in an epoch than from one to the next
            return {}
        steps = [step for step, _ in self._losses]
        table = torch.stack([losses for _, losses in self._losses])
        self._losses.clear()
        distributed.average([table])
        means: list[float] = table.mean(dim=0).tolist()
        if not all(map(math.isfinite, means)):
            first = int((~table.isfinite()).any(dim=1).int().argmax())
            terms = ", ".join(
                f"{name}={value:g}" for name, value in zip(self.names, table[first].tolist(), strict=True)
            )
            raise Fault(
                f"the loss is not finite at step {steps[first]} in phase {self.phase.name!r}: {terms}; "
                f"lower optimizer.learning_rate or set optimizer.clip_norm"
            )
        return {f"train/{self.phase.name}/{name}": mean for name, mean in zip(self.names, means, strict=True)}


def names_of(loss: Loss) -> list[str]:
    return ["loss", *loss.terms]


def values_of(loss: Loss) -> Tensor:
    """What `names_of` names, in one vector."""
    return torch.stack([value.float() for value in (loss.total.detach(), *loss.terms.values())])
