"""Runs of the same shapes trained as one: each step of all of them is one forward and one backward pass. Small networks
leave most of a GPU idle; several of them together do not.

Each member is a `Trainer` as it is alone, with its own weights, averaged weights, optimizers, batches, noise, schedules
and rows, and its results are those of its run alone but for the last digits of sums.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from genray.data.batches import Batches
from genray.errors import UserError
from genray.models.base import Batch, GenerativeModel
from genray.nn.noise import Noise
from genray.train.alike import why_apart
from genray.train.draws import Draw
from genray.train.ema import update_all
from genray.train.fused import Given, differentiate
from genray.train.graphs import Replays, capture_on
from genray.train.member import Member, Vacancy
from genray.train.numbers import Place, numbers_of, tensor_of
from genray.train.stacking import drawn, learn, stacked
from genray.train.steps import autocast
from genray.train.trainer import Trainer

# R members that are here, B images of a batch, K numbers in which members' models differ, T loss and terms of a phase


class Kind(NamedTuple):
    """A step of these members and phases, in which losses take this branch."""

    places: tuple[int, ...]
    due: tuple[int, ...]
    branch: Hashable


class Pack:
    """Members in places. One that ends leaves, and another may take its place, beginning at a step of its own. On CUDA
    steps are captured as those of a run alone are; a place that is taken again needs no new capture.
    """

    def __init__(self, trainers: Sequence[Trainer]) -> None:
        """Raises UserError for trainers that cannot be one, and for a model whose losses cannot be stacked."""
        first = trainers[0]
        self._numbers = numbers_of(first.model)
        self._differing: list[Place] = []  # numbers of the model in which members differ
        self._source = first.batches if isinstance(first.batches, Batches) else None  # of all members
        self._whose, self._device = type(first.model).__module__, first.distributed.device
        self._replays = Replays(capture_on(first.distributed) if self._source else None, self._whose)
        self._draws: dict[tuple[int, Hashable], list[Draw]] = {}  # of each phase in each branch
        self._index: dict[tuple[int, ...], Tensor] = {}  # (RB,) images of the batches of members in these places
        self._seconds = 0.0  # of one member
        self._members: list[Member | None] = [None] * len(trainers)
        self._vacant: dict[int, Vacancy] = {}
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
        started, places = time.perf_counter(), [place for place, member in enumerate(self._members) if member]
        trainers = self.trainers
        drawn_s = sum(trainer.begin_step(step) for trainer, step in zip(trainers, steps, strict=True))
        kind = Kind(tuple(places), _due(trainers, steps), _branch(trainers))
        if unknown := [phase for phase in kind.due if (phase, kind.branch) not in self._draws]:
            self._draws |= self._learn(trainers, steps, unknown, self._differing)
        for phase, values in zip(kind.due, self._take(kind, steps), strict=True):
            for trainer, step, own in zip(trainers, steps, values, strict=True):
                trainer.phases[phase].note(step, own)
        update_all([trainer.ema for trainer in trainers], [step + 1 for step in steps])
        if self._device.type == "cuda" and any(map(Trainer.ends_epoch, trainers, steps)):
            torch.cuda.synchronize(self._device)  # what was launched counts for all, not for who waits for it first
        self._seconds += (time.perf_counter() - started - drawn_s) / len(trainers)
        for trainer in trainers:
            trainer.end_step()

    def _take(self, kind: Kind, steps: Sequence[int]) -> list[Tensor]:
        """Loss and terms (R, T) of each phase that is due."""
        here = self._at(kind.places)
        for member, step in zip(here, steps, strict=True):
            member.tell(step, kind.due)
        if self._source is not None:
            index = torch.cat([member.index for member in here])
            self._index.setdefault(kind.places, torch.empty_like(index)).copy_(index)
        generators = [member.generators[phase] for member in here for phase in kind.due]
        replay = self._replays.of(kind, lambda: self._update(kind), generators)
        return self._update(kind) if replay is None else [values.clone() for values in replay()]

    def _update(self, kind: Kind) -> list[Tensor]:
        here = self._at(kind.places)
        trainers, losses = [member.trainer for member in here], []
        batch = self._batch(kind.places)
        numbers = torch.stack([member.numbers for member in here])
        for phase in kind.due:
            listed = self._draws[phase, kind.branch]
            runners = [trainer.phases[phase] for trainer in trainers]
            noises = [Noise.drawn_by(member.generators[phase]) for member in here]
            given = Given(batch, drawn(listed, noises), numbers)
            with autocast(trainers[0].experiment, self._device):
                values, gradients = differentiate(trainers, runners, given, listed, self._differing)
            losses.append(values)
            for runner, *own in zip(runners, *gradients, strict=True):
                runner.step_along(own)
        return losses

    def _batch(self, places: tuple[int, ...]) -> Batch:
        """(R, B, ...)"""
        if self._source is None:
            return stacked([member.batch for member in self._at(places)])
        batch = self._source.take(self._index[places])
        return {key: value.view(len(places), -1, *value.shape[1:]) for key, value in batch.items()}

    def _at(self, places: Sequence[int]) -> list[Member]:
        return [member for place in places if (member := self._members[place]) is not None]

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
                self._vacant[place], self._members[place] = Vacancy(member, member.leave()), None
        trainer.clock_by(time.perf_counter)

    def take_in(self, trainer: Trainer) -> None:
        """Into the first place that is vacant. Raises UserError as the constructor does, and for a model that grows,
        whose members begin together."""
        if not self._vacant:
            raise ValueError("a pack takes in a member where another one has left, and none has; call leave first")
        if type(trainer.model).begins_anew is not GenerativeModel.begins_anew:
            raise UserError(f"a pack of {self._whose}, which grows, takes in no members; train the run apart")
        self._seat({min(self._vacant): trainer})

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
        phases, steps = range(len(trainers[0].phases)), [trainer.step for trainer in trainers]
        self._draws = self._learn(trainers, steps, phases, differing)
        if differs_anew := differing != self._differing:
            self._differing = differing
            self._replays.forget()
            for member in self._here:
                member.numbers = tensor_of(numbers_of(member.trainer.model), differing, self._device)
        for place, trainer in newcomers.items():
            member = Member(trainer, tensor_of(numbers_of(trainer.model), differing, self._device))
            vacancy = self._vacant.pop(place, None)
            if vacancy is not None and not differs_anew and not member.take_over(vacancy):
                self._replays.forget()
            self._members[place] = member
            trainer.clock_by(lambda: self._seconds)

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
