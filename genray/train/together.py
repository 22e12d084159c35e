"""Several runs through one pack: each leaves the folder that it leaves alone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from genray.config import Experiment
from genray.data.spec import TrainingData
from genray.errors import Fault, UserError
from genray.runs import Row, Run
from genray.train.course import Course
from genray.train.distributed import Distributed
from genray.train.evaluator import Evaluator
from genray.train.log import RunLog
from genray.train.loop import Outcome, course
from genray.train.pack import Pack
from genray.train.trainer import Trainer, resumed

if TYPE_CHECKING:
    from genray.evaluation.judge import Judge


Ended = Outcome | Fault | UserError
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """One run, with what `genray.train.loop.train` takes of it."""

    experiment: Experiment
    run: Run
    judge: Judge | None
    report: Callable[[Row], bool]
    saved: Callable[[], None] = lambda: None
    ended: Callable[[Ended], None] = lambda ended: None  # called once its files are written, while others go on


def train_pack(
    parts: Sequence[Part],
    data: TrainingData,
    *,
    distributed: Distributed,
    more: Callable[[], Sequence[Part]] = lambda: (),
) -> list[Ended]:
    """Trains all runs as one, each until its budget is spent or it is stopped. Returns how each has ended, in the order
    in which they came: one that cannot go on, as where its loss is not finite, with the error that it raises alone; the
    others go on.

    `more` is asked before each step for runs that join them, in the places of those that have just ended; those that
    cannot are left out, and the log says so.
    Raises UserError, before anything is trained or written, for runs that cannot be one.
    """
    trainers = [resumed(part.experiment, data, part.run, distributed) for part in parts]
    unfinished = [trainer for trainer in trainers if not trainer.finished]
    pack = Pack(unfinished) if unfinished else None
    ended: dict[int, Ended] = {}
    with ExitStack() as open_logs:

        def begun(part: Part, trainer: Trainer) -> _Course:
            return _Course(part, trainer, open_logs.enter_context(closing(_logged(part, trainer, data))))

        courses = [begun(part, trainer) for part, trainer in zip(parts, trainers, strict=True)]
        steps: dict[Trainer, int] = {}  # that are to be taken next
        while True:
            for number, (part, trainer, steps_of) in enumerate(courses):
                if number in ended or trainer in steps:
                    continue
                try:
                    steps[trainer] = next(steps_of)
                    continue
                except StopIteration as end:
                    ended[number] = end.value
                except (Fault, UserError) as error:
                    ended[number] = error
                if pack is not None and trainer in pack.trainers:
                    pack.leave(trainer)
                part.ended(ended[number])
            if joining := more():
                for part in joining:
                    trainer = resumed(part.experiment, data, part.run, distributed)
                    try:
                        if pack is None:
                            pack = Pack([trainer])
                        elif not trainer.finished:
                            pack.take_in(trainer)
                    except UserError as error:
                        _log.info("%s is done apart: %s", part.run.path, error)
                    else:
                        courses.append(begun(part, trainer))
                continue
            if len(ended) == len(courses):
                return [ended[number] for number in range(len(courses))]
            if pack is not None:
                pack.train_step([steps[trainer] for trainer in pack.trainers])
                steps.clear()


class _Course(NamedTuple):
    part: Part
    trainer: Trainer
    steps: Course[Outcome]


def _logged(part: Part, trainer: Trainer, data: TrainingData) -> Course[Outcome]:
    with RunLog(part.run, epoch=trainer.epoch, logged=trainer.logged) as log:
        evaluator = Evaluator(trainer, part.run, log, part.judge, data, part.saved)
        return (yield from course(trainer, evaluator, part.report))
