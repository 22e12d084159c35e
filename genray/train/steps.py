"""Training steps. On CUDA a step is captured as a graph and replayed: of small models the launches of a step's kernels
take longer than the kernels."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from genray.config import Experiment
from genray.data.batches import Batches
from genray.models.base import Batch, GenerativeModel
from genray.nn.noise import Noise
from genray.seeds import stream_seed
from genray.train.distributed import Distributed
from genray.train.graphs import Update, capture_on
from genray.train.phases import PhaseRunner

NUM_EAGER = 3  # steps before one is captured: optimizers make their state, libraries what they keep
_log = logging.getLogger(__name__)


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
        self._seed, self._precision = experiment.seed, experiment.precision
        self._capture = capture_on(distributed)
        self._taken: Counter[Hashable] = Counter()  # of each kind of step
        self._captured: dict[Hashable, Update] = {}
        if isinstance(batches, Batches):
            self._images, self._index = batches, batches.index(0).clone()
            self._generators = {runner.phase.name: torch.Generator(distributed.device) for runner in phases}
        else:
            self._capture = None

    @property
    def num_first(self) -> int:
        """Steps of each kind that take longer than all that follow."""
        return 1 if self._capture is None else NUM_EAGER + 1

    def forget(self) -> None:
        """What was captured: it reads from places that an optimizer's new state has left."""
        self._taken.clear()
        self._captured.clear()

    def take(self, step: int) -> None:
        due = [runner for runner in self._phases if step % runner.phase.every == 0]
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
            with self._autocast():
                loss = runner.phase.loss
                losses.append(runner.update(lambda: loss(batch, noise), self._distributed))  # noqa: B023  called at once
        return losses

    def _replay_of(self, due: Sequence[PhaseRunner]) -> Update | None:
        """What replays a step of these phases; None where it is to be run as it is."""
        branch = self._model.branch()
        if self._capture is None or branch is None:
            return None
        kind = (tuple(runner.phase.name for runner in due), branch)
        self._taken[kind] += 1
        if self._taken[kind] == NUM_EAGER + 1:
            generators = [self._generators[runner.phase.name] for runner in due]
            try:
                self._captured[kind] = self._capture(lambda: self._from_places(due), generators)
            except RuntimeError as error:  # a loss that waits for the device: slower, and no fault
                _log.info("steps of %s are run as they are: %s", type(self._model).__module__, error)
                self._capture = None
                return None
        return self._captured.get(kind)

    def _from_places(self, due: Sequence[PhaseRunner]) -> list[Tensor]:
        noises = [Noise.drawn_by(self._generators[runner.phase.name]) for runner in due]
        return self._update(due, self._images.take(self._index), noises)

    def _key(self, step: int, runner: PhaseRunner) -> tuple[int | str, ...]:
        return self._seed, step, runner.phase.name

    def _noise(self, step: int, runner: PhaseRunner) -> Noise:
        place = self._distributed
        return Noise(*self._key(step, runner), device=place.device, rank=place.rank, world_size=place.world_size)

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self._precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self._distributed.device.type, dtype=torch.bfloat16)
