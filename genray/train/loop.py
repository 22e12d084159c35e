"""The only place that trains: a run from its first epoch, or its last checkpoint, to its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genray.config import Experiment
from genray.data.spec import TrainingData
from genray.runs import Row, Run
from genray.train.course import Course, taken
from genray.train.distributed import Distributed
from genray.train.evaluator import Evaluator, is_due
from genray.train.log import RunLog
from genray.train.trainer import Trainer, resumed

if TYPE_CHECKING:
    from genray.evaluation.judge import Judge


@dataclass(frozen=True)
class Outcome:
    row: Row  # the last one that was evaluated
    stopped: bool  # before its budget was spent, because `report` said so


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
    with RunLog(run, epoch=trainer.epoch, logged=trainer.logged) as log:
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
