"""Runs of the same shapes trained as one: each step of all of them is one forward and one backward pass. Small networks
leave most of a GPU idle; several of them together do not.

Each member is a `Trainer` as it is alone, with its own weights, averaged weights, optimizers, batches, noise, schedules
and rows, and its results are those of its run alone but for the last digits of sums.
"""

from __future__ import annotations

import math
import time
from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from genray.data.batches import Batches
from genray.errors import UserError
from genray.models.base import Batch, GenerativeModel
from genray.nn.noise import Noise
from genray.train.adamw import step_all
from genray.train.alike import why_apart
from genray.train.draws import Draw
from genray.train.ema import update_all
from genray.train.fused import Given, differentiate
from genray.train.graphs import Replays, graphs_on
from genray.train.member import Member, stacked
from genray.train.numbers import Place, numbers_of, tensor_of
from genray.train.stacking import drawn, learn, rows
from genray.train.steps import autocast
from genray.train.trainer import Trainer

# R members that are here, B images of a batch, K numbers in which members' models differ, T loss and terms of a phase


class Kind(NamedTuple):
    """A step of these phases, in which losses take this branch."""

    due: tuple[int, ...]
    branch: Hashable


class Pack:
    """Members in places. One that ends leaves, and another may take its place, beginning at a step of its own. On CUDA
    steps are captured as those of a run alone are; a place that is taken before the next step needs no new capture.
    """

    def __init__(self, trainers: Sequence[Trainer]) -> None:
        """Raises UserError for trainers that cannot be one, and for a model whose losses cannot be stacked."""
        first = trainers[0]
        self._numbers = numbers_of(first.model)
        self._differing: list[Place] = []  # numbers of the model in which members differ
        self._source = first.batches if isinstance(first.batches, Batches) else None  # of all members
        self._whose, self._device = type(first.model).__module__, first.distributed.device
        self._replays = Replays(graphs_on(first.distributed) if self._source else None, self._whose)
        self._draws: dict[tuple[int, Hashable], list[Draw]] = {}  # of each phase in each branch
        self._names: dict[tuple[int, Hashable], list[str]] = {}  # of losses and terms, likewise
        self._index = torch.empty(0, dtype=torch.int64, device=self._device)  # (RB,) images of the members' batches
        self._clip: list[bool] = []  # whether any member looks at its gradient's norm, in each phase
        self._seconds = 0.0  # of one member
        self._members: list[Member | None] = [None] * len(trainers)
        self._seat(dict(enumerate(trainers)))

    @property
    def trainers(self) -> list[Trainer]:
        """Of the members that are here, in the order in which `train_step` is told their steps."""
        return [member.trainer for member in self._here]

    @property
    def _here(self) -> list[Member]:
        return [member for member in self._members if member is not None]

    def train_step(self, steps: Sequence[int]) -> None:
        """One step of each member that is here, whose number it is told."""
        started = time.perf_counter()
        if None in self._members:
            self._arrange(self._here)
        trainers = self.trainers
        drawn_s = sum(trainer.begin_step(step) for trainer, step in zip(trainers, steps, strict=True))
        kind = Kind(_due(trainers, steps), _branch(trainers))
        if unknown := [phase for phase in kind.due if (phase, kind.branch) not in self._draws]:
            self._draws |= self._learn(trainers, steps, unknown, self._differing)
        for phase, values in zip(kind.due, self._take(kind, steps), strict=True):
            for trainer, step, own in zip(trainers, steps, values, strict=True):
                trainer.phases[phase].names = self._names[phase, kind.branch]
                trainer.phases[phase].note(step, own)
        update_all([trainer.ema for trainer in trainers], [step + 1 for step in steps])
        if self._device.type == "cuda" and any(map(Trainer.ends_epoch, trainers, steps)):
            torch.cuda.synchronize(self._device)  # what was launched counts for all, not for who waits for it first
        self._seconds += (time.perf_counter() - started - drawn_s) / len(trainers)
        for trainer in trainers:
            trainer.end_step()

    def _take(self, kind: Kind, steps: Sequence[int]) -> list[Tensor]:
        """Loss and terms (R, T) of each phase that is due."""
        for member, step, generators in zip(self._here, steps, self._generators, strict=True):
            member.tell(step, {phase: generators[phase] for phase in kind.due})
        if self._source is not None:
            index = torch.cat([member.index for member in self._here])
            self._index = self._index.copy_(index) if index.shape == self._index.shape else index
        generators = [of_member[phase] for of_member in self._generators for phase in kind.due]
        replay = self._replays.of(kind, lambda: self._update(kind), generators)
        return self._update(kind) if replay is None else [values.clone() for values in replay()]

    def _update(self, kind: Kind) -> list[Tensor]:
        held, first, batch, losses = self._held, self._here[0].trainer, self._batch(), []
        for phase in kind.due:
            runner, listed = first.phases[phase], self._draws[phase, kind.branch]
            draws = drawn(listed, [Noise.drawn_by(generators[phase]) for generators in self._generators])
            given = Given(held.buffers, batch, draws, held.numbers)
            with autocast(first.experiment, self._device):
                values, gradients, names = differentiate(first, runner, held.networks, given, listed, self._differing)
            losses.append(values)
            self._names[phase, kind.branch] = names
            moved = [vector for name, vector in held.networks.items() if name in runner.phase.updates]
            step_all(
                moved, gradients, held.moments[phase], held.rates[phase], held.constants[phase], clip=self._clip[phase]
            )
        return losses

    def _batch(self) -> Batch:
        """(R, B, ...)"""
        if self._source is None:
            return rows([member.batch for member in self._here])
        batch = self._source.take(self._index)
        return {key: value.view(len(self._here), -1, *value.shape[1:]) for key, value in batch.items()}

    def _learn(
        self, trainers: Sequence[Trainer], steps: Sequence[int], phases: Iterable[int], differing: Sequence[Place]
    ) -> dict[tuple[int, Hashable], list[Draw]]:
        """Draws of these phases in the present branch."""
        branch, batches = _branch(trainers), [t.batches[step] for t, step in zip(trainers, steps, strict=True)]
        numbers = torch.stack([tensor_of(numbers_of(t.model), differing, self._device) for t in trainers])
        return {(phase, branch): learn(trainers, phase, steps, batches, numbers, differing) for phase in phases}

    def leave(self, trainer: Trainer) -> None:
        """The trainer goes on alone, or not at all; its place may be taken."""
        for place, member in enumerate(self._members):
            if member is not None and member.trainer is trainer:
                member.move([row.clone() for row in self._rows(place)])
                self._members[place] = None
        trainer.clock_by(time.perf_counter)

    def take_in(self, trainer: Trainer) -> None:
        """Into the first place that is vacant, or a new one. Raises UserError as the constructor does."""
        self._seat({[*self._members, None].index(None): trainer})

    def _seat(self, newcomers: dict[int, Trainer]) -> None:
        """Raises UserError, and leaves all as it was, where they cannot be one with those that are here."""
        trainers = [*self.trainers, *newcomers.values()]
        self._refuse_unlike(trainers)
        other = {
            key
            for t in newcomers.values()
            for key, value in numbers_of(t.model).items()
            if self._numbers.get(key) != value
        }
        differing = sorted(other.union(self._differing))
        phases = range(len(trainers[0].phases))
        known = self.trainers[:1] if differing == self._differing else self.trainers  # with it the others were compared
        compared = [*known, *newcomers.values()]
        self._draws = self._learn(compared, [trainer.step for trainer in compared], phases, differing)
        fits = bool(self._here) and differing == self._differing and max(newcomers) < len(self._members)
        self._differing = differing
        new = {p: Member(t, tensor_of(numbers_of(t.model), differing, self._device)) for p, t in newcomers.items()}
        if fits:
            for place, member in new.items():
                self._put(member, place)
        else:
            for member in self._here:
                member.numbers = tensor_of(numbers_of(member.trainer.model), differing, self._device)
            places = dict(enumerate(self._members)) | new
            self._arrange([member for _, member in sorted(places.items()) if member is not None])
        for trainer in newcomers.values():
            trainer.clock_by(lambda: self._seconds)
        clip = [any(math.isfinite(t.phases[phase].constants().clip_norm) for t in trainers) for phase in phases]
        if clip != self._clip:
            self._clip = clip
            self._replays.forget()

    def _arrange(self, members: Sequence[Member]) -> None:
        """These alone are here from now on, in rows of new tensors."""
        self._members = list(members)
        self._generators = [[torch.Generator(self._device) for _ in member.constants] for member in members]
        self._held = stacked([member.held() for member in members])
        for place, member in enumerate(members):
            member.move(self._rows(place))
        self._replays.forget()

    def _put(self, member: Member, place: int) -> None:
        """Where the one was that has left: what was captured serves it."""
        for row, tensor in zip(rows := self._rows(place), member.held().tensors(), strict=True):
            row.copy_(tensor.detach())
        member.move(rows)
        self._members[place] = member

    def _rows(self, place: int) -> list[Tensor]:
        return [tensor[place] for tensor in self._held.tensors()]

    def _refuse_unlike(self, trainers: Sequence[Trainer]) -> None:
        reason = why_apart([trainer.experiment for trainer in trainers])
        if reason is None and trainers[0].distributed.world_size > 1:
            reason = f"trains on one worker, got {trainers[0].distributed.world_size}"
        if reason is None:
            reason = next(filter(None, (_why_unlike(trainers[0], trainer) for trainer in trainers[1:])), None)
        if reason is None and self._source is not None:
            shared = [isinstance(t.batches, Batches) and t.batches.share(self._source) for t in trainers]
            reason = None if all(shared) else f"has one training split, got another one of member {shared.index(False)}"
        if reason is not None:
            raise UserError(f"a pack {reason}")


def _why_unlike(first: Trainer, other: Trainer) -> str | None:
    """Why these are no two members of a pack, whatever their experiments say."""
    tensors = [
        {name: (t.shape, t.dtype) for name, t in [*trainer.model.named_parameters(), *trainer.model.named_buffers()]}
        for trainer in (first, other)
    ]
    for name in sorted(tensors[0].keys() | tensors[1].keys()):
        if (mine := tensors[0].get(name)) != (theirs := tensors[1].get(name)):
            return f"has tensors of the same shapes in all members, got {name} of {mine} and {theirs}"
    if type(first.model) is not type(other.model):
        return f"has one model, got {type(first.model).__module__} and {type(other.model).__module__}"
    if type(first.model).begins_anew is not GenerativeModel.begins_anew and first.step != other.step:
        return f"has members that grow together, got {type(first.model).__module__} at steps {first.step}, {other.step}"
    every = [[runner.phase.every for runner in trainer.phases] for trainer in (first, other)]
    if every[0] != every[1] or any((first.step - other.step) % steps for steps in every[0]):
        turns = [f"every {steps} from step {t.step}" for steps, t in zip(every, (first, other), strict=True)]
        return f"has phases whose turns are at the same steps, got {' and '.join(turns)}"
    if numbers_of(first.model).keys() != numbers_of(other.model).keys():
        return "has numbers in the same places of all models, got others in one"
    return None


def _due(trainers: Sequence[Trainer], steps: Sequence[int]) -> tuple[int, ...]:
    """The phases whose turn is at these steps."""
    [due] = {
        tuple(i for i, runner in enumerate(trainer.phases) if step % runner.phase.every == 0)
        for trainer, step in zip(trainers, steps, strict=True)
    }
    return due


def _branch(trainers: Sequence[Trainer]) -> Hashable:
    branches = {trainer.model.branch() for trainer in trainers}
    if len(branches) > 1 or None in branches:
        module, found = type(trainers[0].model).__module__, ", ".join(map(str, branches))
        raise UserError(
            f"a pack needs a model whose losses take one branch in all members, got {found} of {module}, where None "
            f"is not known; train its runs apart"
        )
    return branches.pop()
