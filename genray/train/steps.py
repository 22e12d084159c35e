"""Training steps. On CUDA a step is captured as a graph and replayed: of small models the launches of a step's kernels
take longer than the kernels."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from genray.config import Experiment
from genray.data.batches import Batches
from genray.models.base import Batch, GenerativeModel
from genray.nn.noise import Noise
from genray.seeds import stream_seed
from genray.train.distributed import Distributed
from genray.train.graphs import Replays, Update, graphs_on
from genray.train.phases import PhaseRunner

Key = tuple[int | str, ...]


class BatchSource(Protocol):
    """`Batches` of images, or draws of a known density."""

    steps_per_epoch: int

    def __getitem__(self, step: int) -> Batch: ...


class Steps:
    """Updates of all phases. A captured step reads which images are its own, and what its noise is seeded with, from
    places that are written before it is replayed, and so gives bit for bit what it gives when it is run as it is.
    """

    def __init__(
        self,
        phases: Sequence[PhaseRunner],
        model: GenerativeModel,
        batches: BatchSource,
        experiment: Experiment,
        distributed: Distributed,
    ) -> None:
        self._phases, self._model, self._batches, self._distributed = phases, model, batches, distributed
        self._experiment = experiment
        self._generators = {runner.phase.name: torch.Generator(distributed.device) for runner in phases}
        graphs = graphs_on(distributed)
        if isinstance(batches, Batches):
            self._images, self._index = batches, batches.index(0).clone()
        else:
            graphs = None
        self._replays = Replays(graphs, type(model).__module__)

    @property
    def num_first(self) -> int:
        """Steps of each kind that take longer than all that follow."""
        return self._replays.num_first

    def forget(self) -> None:
        """What was captured: it reads from places that an optimizer's new state has left."""
        self._replays.forget()

    def take(self, step: int) -> None:
        due = due_at(step, self._phases)
        replay = self._replay_of(due)
        if replay is None:
            losses = self._update(due, self._batches[step], [self._noise(step, runner) for runner in due])
        else:
            self._index.copy_(self._images.index(step))
            for runner in due:
                self._generators[runner.phase.name].manual_seed(stream_seed(*self._key(step, runner)))
            losses = [values.clone() for values in replay()]
        for runner, values in zip(due, losses, strict=True):
            runner.note(step, values)

    def _update(self, due: Sequence[PhaseRunner], batch: Batch, noises: Sequence[Noise]) -> list[Tensor]:
        losses = []
        for runner, noise in zip(due, noises, strict=True):
            with autocast(self._experiment, self._distributed.device):
                loss = runner.phase.loss
                losses.append(runner.update(lambda: loss(batch, noise), self._distributed))  # noqa: B023  called at once
        return losses

    def _replay_of(self, due: Sequence[PhaseRunner]) -> Update | None:
        """What replays a step of these phases; None where it is to be run as it is."""
        if (branch := self._model.branch()) is None:
            return None
        kind = (tuple(runner.phase.name for runner in due), branch)
        generators = [self._generators[runner.phase.name] for runner in due]
        return self._replays.of(kind, lambda: self._from_places(due), generators)

    def _from_places(self, due: Sequence[PhaseRunner]) -> list[Tensor]:
        noises = [Noise.drawn_by(self._generators[runner.phase.name]) for runner in due]
        return self._update(due, self._images.take(self._index), noises)

    def _key(self, step: int, runner: PhaseRunner) -> Key:
        return key_of(self._experiment, step, runner)

    def _noise(self, step: int, runner: PhaseRunner) -> Noise:
        place = self._distributed
        return Noise(*self._key(step, runner), device=place.device, rank=place.rank, world_size=place.world_size)


def due_at(step: int, phases: Sequence[PhaseRunner]) -> list[PhaseRunner]:
    """The phases whose turn is at a step."""
    return [runner for runner in phases if step % runner.phase.every == 0]


def key_of(experiment: Experiment, step: int, runner: PhaseRunner) -> Key:
    """What the noise of a phase is seeded with at a step."""
    return experiment.seed, step, runner.phase.name


def autocast(experiment: Experiment, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """In which losses are computed."""
    if experiment.precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
