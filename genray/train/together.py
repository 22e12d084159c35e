"""Several runs through one pack: each leaves the folder that it leaves alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
    from genray.metrics.evaluate import Judge


Ended = Outcome | Fault | UserError


@dataclass(frozen=True)
class Part:
    """One run, with what `genray.train.loop.train` takes of it."""

    experiment: Experiment
    run: Run
    judge: Judge | None
    report: Callable[[Row], bool]
    saved: Callable[[], None] = lambda: None
    ended: Callable[[Ended], None] = lambda ended: None  # called once its files are written, while others go on


def train_pack(parts: Sequence[Part], data: TrainingData, *, distributed: Distributed) -> list[Ended]:
    """Trains all runs as one, each until its budget is spent or it is stopped. Returns how each has ended: one
    that cannot go on, as where its loss is not finite, with the error that it raises alone; the others go on.

    Raises UserError, before anything is trained or written, for runs that cannot be one.
    """
    trainers = [resumed(part.experiment, data, part.run, distributed) for part in parts]
    unfinished = [trainer for trainer in trainers if not trainer.finished]
    pack = Pack(unfinished) if unfinished else None
    ended: dict[int, Ended] = {}
    with ExitStack() as open_logs:
        courses = [
            open_logs.enter_context(closing(_logged(part, trainer, data)))
            for part, trainer in zip(parts, trainers, strict=True)
        ]
        while len(ended) < len(parts):
            steps = []
            for number, trainer in enumerate(trainers):
                if number in ended:
                    continue
                try:
                    steps.append(next(courses[number]))
                except StopIteration as end:
                    ended[number] = end.value
                except (Fault, UserError) as error:
                    ended[number] = error
                if number not in ended:
                    continue
                if pack is not None and trainer in pack.trainers:
                    pack.leave(trainer)
                parts[number].ended(ended[number])
            if pack is not None and steps:
                pack.train_step(steps)
    return [ended[number] for number in range(len(parts))]


def _logged(part: Part, trainer: Trainer, data: TrainingData) -> Course[Outcome]:
    with RunLog(part.run, epoch=trainer.epoch) as log:
        evaluator = Evaluator(trainer, part.run, log, part.judge, data, part.saved)
        return (yield from course(trainer, evaluator, part.report))
