"""Whether the losses of a model can be computed for several members at once: shown, before they are, on each kind of
step, by the losses and gradients of each member alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from genray.errors import UserError
from genray.models.base import Batch
from genray.nn.noise import Noise
from genray.train.draws import Draw, Listing
from genray.train.fused import Given, differentiate
from genray.train.numbers import Place
from genray.train.phases import PhaseRunner
from genray.train.steps import autocast, key_of
from genray.train.trainer import Trainer

# R members, K numbers in which they differ, T loss and terms, n parameters that a phase moves

TOLERANCE = {"float32": 1e-2, "bfloat16": 1e-1}  # relative: convolutions on a GPU may be computed in TF32
SMALLEST = 1e-4  # losses and norms of gradients that are told from 0


def learn(
    trainers: Sequence[Trainer],
    phase: int,
    steps: Sequence[int],
    batches: Sequence[Batch],
    numbers: Tensor,
    places: Sequence[Place],
) -> list[Draw]:
    """What the loss of a phase draws. `numbers` (R, K) stand in these places of the models.

    Raises UserError for a loss that is not the same function of tensors and these numbers in all members.
    """
    whose = f"{type(trainers[0].model).__module__}, phase {trainers[0].phases[phase].phase.name!r}"
    alone = [_alone(t, phase, step, batch, whose) for t, step, batch in zip(trainers, steps, batches, strict=True)]
    listed = alone[0][0]
    if any(draws != listed for draws, _, _ in alone):
        raise _refusal(whose, "members draw other noise")
    first, runners = trainers[0], [trainer.phases[phase] for trainer in trainers]
    noises = [_noise(*of_step) for of_step in zip(trainers, steps, runners, strict=True)]
    networks = rows([{name: network.vector for name, network in t.networks.items()} for t in trainers])
    buffers = rows([dict(t.model.named_buffers()) for t in trainers])
    given = Given(buffers, rows(batches), drawn(listed, noises), numbers)
    try:
        with autocast(first.experiment, first.distributed.device):
            losses, gradients, _ = differentiate(first, runners[0], networks, given, listed, places)
    except (RuntimeError, TypeError) as error:
        raise _refusal(whose, str(error).strip().partition("\n")[0]) from error
    tolerance = TOLERANCE[trainers[0].experiment.precision]
    for member, (_, own_losses, own_gradient) in enumerate(alone):
        pairs = [(losses[member], own_losses), (torch.cat([g[member] for g in gradients]), own_gradient)]
        if not all(_close(found, expected, tolerance) for found, expected in pairs):
            raise _refusal(whose, f"what member {member} gives there is another than what it gives alone")
    return listed


def rows(members: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Each tensor (...) of theirs as one, (R, ...)."""
    return {key: torch.stack([tensors[key].detach() for tensors in members]) for key in members[0]}


def drawn(listed: Sequence[Draw], noises: Sequence[Noise]) -> list[Tensor]:
    """Each draw (R, ...), a member's by its own noise."""
    of_members = [[draw.by(noise) for draw in listed] for noise in noises]
    return [torch.stack(draws) for draws in zip(*of_members, strict=True)]


def _alone(trainer: Trainer, phase: int, step: int, batch: Batch, whose: str) -> tuple[list[Draw], Tensor, Tensor]:
    """Draws, losses (T,) and gradient (n,) of a member."""
    runner, buffers = trainer.phases[phase], list(trainer.model.buffers())
    before = [buffer.clone() for buffer in buffers]
    noise = _noise(trainer, step, runner)
    with autocast(trainer.experiment, trainer.distributed.device):
        losses = runner.differentiate(lambda: runner.phase.loss(batch, noise))
    moved = [not torch.equal(buffer, was) for buffer, was in zip(buffers, before, strict=True)]
    if any(moved):
        for buffer, was in zip(buffers, before, strict=True):
            buffer.copy_(was)
        raise _refusal(whose, "it writes into a buffer of the model, which is for set_progress to do")
    return noise.draws, losses, torch.cat([network.gradient for network in runner.moved])


def _noise(trainer: Trainer, step: int, runner: PhaseRunner) -> Listing:
    return Listing(*key_of(trainer.experiment, step, runner), device=trainer.distributed.device)


def _close(found: Tensor, expected: Tensor, tolerance: float) -> bool:
    """As vectors. What is not finite is not compared: it ends its member, at the end of the epoch."""
    error, size = (found - expected).float().norm().item(), expected.float().norm().item()
    return not math.isfinite(size) or error <= tolerance * (size + SMALLEST)


def _refusal(whose: str, reason: str) -> UserError:
    return UserError(f"a pack needs losses that torch.func.vmap can stack, got {whose}: {reason}; train its runs apart")
