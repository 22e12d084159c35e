"""A run in progress. It acts on the phases that a model declares, and neither scores nor writes anything."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from genray import checkpoint, metrics
from genray.config import Experiment
from genray.data.batches import Batches
from genray.data.spec import TrainingData
from genray.errors import Fault, UserError, nearest
from genray.models.base import GenerativeModel, build
from genray.runs import Row, Run
from genray.train.course import Course, taken
from genray.train.distributed import Distributed
from genray.train.ema import Ema
from genray.train.flat import flatten_children
from genray.train.meter import Meter
from genray.train.pace import pace_on
from genray.train.phases import PhaseRunner
from genray.train.steps import BatchSource, Steps


class Trainer:
    """A run in progress: model, optimizers, averaged weights and how far they are."""

    def __init__(
        self, experiment: Experiment, model: GenerativeModel, batches: BatchSource, distributed: Distributed
    ) -> None:
        """`experiment.model` and `experiment.dataset` are not looked at: what they name is given."""
        self.experiment, self.distributed, self.batches = experiment, distributed, batches
        self.model = model.to(distributed.device)
        networks = flatten_children(self.model)
        self.ema = Ema(self.model, networks, experiment.ema_decay)
        phases = self.model.phases()
        for name in experiment.optimizer.phases:
            if name not in (known := [phase.name for phase in phases]):
                raise UserError(f"optimizer.phases: {name!r} is no phase of this model{nearest(name, known)}")
        self.networks = networks
        self.phases = [PhaseRunner(phase, networks, experiment) for phase in phases]
        self._steps = Steps(self.phases, self.model, batches, experiment, distributed)
        self.epoch, self.step, self.train_seconds, self.row = 0, 0, 0.0, Row()
        self.best: float | None = None  # of the leading score, at the checkpoints so far
        self.logged: dict[int, int] | None = None  # checksums of rows by epoch, where the checkpoint tells them
        self.meter = Meter(experiment, batches.steps_per_epoch)
        self._pace = None if self.meter.seconds is None else pace_on(distributed)
        self._time: Callable[[], float] = time.perf_counter
        self._started: float | None = None  # this epoch, on a clock that stands still while pictures are drawn
        self.before_anew: Callable[[], None] = lambda: None  # called where a level of a growing model ends

    @property
    def finished(self) -> bool:
        return self.meter.is_spent(self.step)

    def ends_epoch(self, step: int) -> bool:
        """Whether an epoch, or the run, ends with this step."""
        return (step + 1) % self.batches.steps_per_epoch == 0 or self.meter.is_spent(step + 1)

    @property
    def num_first_steps(self) -> int:
        """Of each kind of step, those that take longer than all that follow."""
        return self._steps.num_first

    def train_epoch(self) -> Row:
        """Trains one epoch, or what the budget leaves of it, and returns its row."""
        return taken(self.steps_of_epoch(), self.train_step)

    def steps_of_epoch(self) -> Course[Row]:
        """The same where steps are taken elsewhere: each that is given is to be taken before the next is asked for."""
        self._started = self._time()
        for step in range(self.step, (self.epoch + 1) * self.batches.steps_per_epoch):
            yield step
            self.step = step + 1
            if self.finished:
                break
        row = self.end_epoch()
        self.epoch += 1
        self.train_seconds, self._started = self._clock(), None
        self.meter.read(self.train_seconds, self.distributed)
        return self._progress() | row

    def _clock(self) -> float:
        """Seconds of training so far."""
        return self.train_seconds + (0.0 if self._started is None else self._time() - self._started)

    def end_epoch(self) -> Row:
        """Means over the steps since it was called last. Waits for the device."""
        row: Row = {}
        for phase in self.phases:
            row |= phase.end_epoch(self.distributed)
        if not all(network.vector.isfinite().all() for network in self.networks.values()):
            raise Fault(f"a weight is not finite after epoch {self.epoch + 1}; lower optimizer.learning_rate")
        return row

    def scale_learning_rates(self, factor: float) -> None:
        """Of all phases, from the next step on: `factor` times what the experiment says."""
        for phase in self.phases:
            phase.scale_learning_rate(factor)

    def untrained_row(self) -> Row:
        return self._progress()

    def _progress(self) -> Row:
        return {"epoch": self.epoch, "step": self.step, "train_seconds": round(self.train_seconds, 3)}

    def clock_by(self, seconds: Callable[[], float]) -> None:
        """What tells the time from now on."""
        self.train_seconds, self._time = self._clock(), seconds
        self._started = None if self._started is None else seconds()

    def train_step(self, step: int) -> None:
        self.begin_step(step)
        self._steps.take(step)
        self.ema.update(step + 1)
        self.end_step()

    def begin_step(self, step: int) -> float:
        """What comes before the updates. Returns seconds in which pictures were drawn, which are none of training."""
        progress, drawn_s = self.meter.tell(step), 0.0
        if self.model.begins_anew(progress):
            paused, began = self._time(), time.perf_counter()
            self.before_anew()
            drawn_s = time.perf_counter() - began
            if self._started is not None:
                self._started += self._time() - paused
            for runner in self.phases:
                runner.forget()
        self.model.set_progress(progress)
        return drawn_s

    def end_step(self) -> None:
        """What comes after updates and averaged weights."""
        if self._pace is not None:
            self._pace.keep()
        self.meter.read(self._clock(), self.distributed)

    def is_best(self, row: Row) -> bool:
        """Whether a row has the best leading score of all that were asked about."""
        if (leading := metrics.leading(self.experiment.metrics, row)) is None:
            return False
        key, higher = leading
        if self.best is None or (row[key] > self.best if higher else row[key] < self.best):
            self.best = row[key]
            return True
        return False

    def state(self) -> dict[str, Any]:
        return {
            "experiment": self.experiment.origin(),
            "epoch": self.epoch,
            "step": self.step,
            "train_seconds": self.train_seconds,
            "meter": self.meter.state(),
            "row": self.row,
            "best": self.best,
            "logged": self.logged,
            "model": self.model.state_dict(),
            "ema": self.ema.evaluated().state_dict(),
            "optimizers": {runner.phase.name: runner.state() for runner in self.phases},
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.epoch, self.train_seconds, self.row = state["epoch"], state["train_seconds"], state["row"]
        self.step, self.best, self.logged = state["step"], state["best"], state.get("logged")
        self.meter.restore(state["meter"])
        self.model.load_state_dict(state["model"])
        self.ema.model.load_state_dict(state["ema"])
        for runner in self.phases:
            runner.restore(state["optimizers"][runner.phase.name])
        self.forget_steps()

    def forget_steps(self) -> None:
        """Those that were captured: weights or moments lie elsewhere now."""
        self._steps.forget()


def make_trainer(experiment: Experiment, data: TrainingData, distributed: Distributed) -> Trainer:
    """Of a dataset's training split, with a model that has seen what it may keep of it."""
    model = build(experiment.model, data.spec, experiment.seed)
    model.observe(data.train)
    batches = Batches(
        data.train,
        batch_size=experiment.batch_size,
        seed=experiment.seed,
        device=distributed.device,
        rank=distributed.rank,
        world_size=distributed.world_size,
    )
    return Trainer(experiment, model, batches, distributed)


def resumed(experiment: Experiment, data: TrainingData, run: Run, distributed: Distributed) -> Trainer:
    """Where the run's last checkpoint is; at its first step where there is none."""
    trainer = make_trainer(experiment, data, distributed)
    state = checkpoint.latest(
        run.checkpoint_path,
        distributed.device,
        experiment=experiment,
        like={key: value for key, value in trainer.state().items() if key not in ("experiment", "logged")},
        alone=distributed.rank == 0,
    )
    if state is not None:
        trainer.restore(state)
    return trainer
