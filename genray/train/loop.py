"""The only place that trains: it acts on the phases that a model declares."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from genray import pictures
from genray.config import Experiment
from genray.data.batches import Batches
from genray.data.spec import TrainingData
from genray.errors import Fault, UserError, nearest
from genray.models.base import GenerativeModel, build
from genray.runs import Row, Run
from genray.samplers import PRIOR, make_sampler, samplers_of
from genray.train import checkpoint
from genray.train.course import Course, taken
from genray.train.distributed import Distributed
from genray.train.ema import Ema
from genray.train.flat import flatten_children
from genray.train.log import RunLog
from genray.train.meter import Meter
from genray.train.phases import PhaseRunner
from genray.train.steps import BatchSource, Steps

if TYPE_CHECKING:
    from genray.metrics.evaluate import Judge


@dataclass(frozen=True)
class Outcome:
    row: Row  # the last one that was evaluated
    stopped: bool  # before its budget was spent, because `report` said so


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
        self.meter = Meter(experiment, batches.steps_per_epoch)
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
        self.meter.read(self._clock(), self.distributed)

    def state(self) -> dict[str, Any]:
        return {
            "epoch": self.epoch,
            "step": self.step,
            "train_seconds": self.train_seconds,
            "meter": self.meter.state(),
            "row": self.row,
            "model": self.model.state_dict(),
            "ema": self.ema.evaluated().state_dict(),
            "optimizers": {runner.phase.name: runner.optimizer.state_dict() for runner in self.phases},
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.epoch, self.train_seconds, self.row = state["epoch"], state["train_seconds"], state["row"]
        self.step = state.get("step", self.epoch * self.batches.steps_per_epoch)  # older ones end with an epoch
        self.meter.restore(state.get("meter", self.meter.state()))
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
    if (state := checkpoint.latest(run.checkpoint_path, distributed.device)) is not None:
        trainer.restore(state)
    return trainer


def train(
    experiment: Experiment,
    data: TrainingData,
    run: Run,
    *,
    judge: Judge | None,
    report: Callable[[Row], bool],
    saved: Callable[[], None] = lambda: None,
    distributed: Distributed,
) -> Outcome:
    """Trains until the budget is spent, going on from the run's checkpoint where there is one.

    Every `evaluate_every` epochs, and at the end, rank 0 evaluates on the validation split, saves what is due and
    calls `report(row)`, which returns False to stop the run, and `saved()` after each checkpoint. Raises `Fault` for a
    loss that is not finite.
    """
    trainer = resumed(experiment, data, run, distributed)
    if distributed.rank > 0:
        return _train(trainer, lambda row: None, lambda row: True)
    with RunLog(run, epoch=trainer.epoch) as log:
        evaluator = Evaluator(trainer, run, log, judge, data, saved)
        return _train(trainer, evaluator, report)


def _train(trainer: Trainer, evaluate: Callable[[Row], None], report: Callable[[Row], bool]) -> Outcome:
    return taken(course(trainer, evaluate, report), trainer.train_step)


def course(trainer: Trainer, evaluate: Callable[[Row], None], report: Callable[[Row], bool]) -> Course[Outcome]:
    """A run as the steps that are to be taken for it, each before the next is asked for."""
    experiment = trainer.experiment
    if trainer.epoch == 0:
        evaluate(trainer.untrained_row())
    elif trainer.finished:
        trainer.distributed.agree(report(trainer.row))  # finished before: whoever asks again is told again
    while not trainer.finished:
        row = yield from trainer.steps_of_epoch()
        evaluate(row)
        due = is_due(trainer, experiment.evaluate_every)
        if due and not trainer.distributed.agree(report(row)):
            return Outcome(trainer.row, stopped=not trainer.finished)
    return Outcome(trainer.row, stopped=False)


def is_due(trainer: Trainer, every: int) -> bool:
    return trainer.epoch % every == 0 or trainer.finished


class Evaluator:
    """After an epoch, on rank 0: scores on the validation split, rows, grids and checkpoints."""

    def __init__(
        self,
        trainer: Trainer,
        run: Run,
        log: RunLog,
        judge: Judge | None,
        data: TrainingData,
        saved: Callable[[], None] = lambda: None,
    ) -> None:
        self._trainer, self._run, self._log, self._judge = trainer, run, log, judge
        self._data, self._saved = data, saved
        trainer.before_anew = self.show_level

    @torch.no_grad()
    def show_level(self) -> None:
        """Samples of a level that ends, in whichever epoch that is."""
        trainer = self._trainer
        model = trainer.ema.evaluated()
        sampler = make_sampler(PRIOR, model, self._data.train, seed=0)
        shown = pictures.Shown(model, self._data.validation, trainer.distributed.device, sampler)
        self._log.pictures({"samples": pictures.samples(shown)}, trainer.epoch)

    @torch.no_grad()
    def __call__(self, row: Row) -> None:
        """Adds the scores to `row` where they are due. The checkpoint comes last: what it holds has been logged."""
        trainer, experiment = self._trainer, self._trainer.experiment
        epoch = trainer.epoch
        if is_due(trainer, experiment.evaluate_every):
            model, device, seed = trainer.ema.evaluated(), trainer.distributed.device, experiment.seed
            name = samplers_of(experiment.sampled_from, model, experiment.model.name)[0]
            sampler = make_sampler(name, model, self._data.train, seed=seed, device=device)
            if self._judge is not None:
                scores = self._judge.score(model, seed=seed, device=device, sampler=sampler, failed={})
                row |= {f"validation/{name}": value for name, value in scores.items()}
            shown = pictures.Shown(model, self._data.validation, device, sampler)
            self._log.pictures(pictures.draw_all(shown), epoch)
            trainer.row = row
        self._log.row(row)
        if epoch and is_due(trainer, experiment.checkpoint_every):
            checkpoint.save(self._run.checkpoint_path, trainer.state(), self._data.spec)
            self._saved()
