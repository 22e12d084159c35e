"""Several runs in one process: as one where they can be one, else one after the other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial

import torch

from genray.cluster.hanging import watched
from genray.cluster.work import Means, Task, do, is_out_of_memory, open_folder, score
from genray.errors import Fault, UserError
from genray.runs import Row
from genray.train.together import Ended, Part, train_pack

Report = Callable[[str, Row], bool]  # a run's row, and whether the run goes on
End = Callable[[str, Ended], None]  # a run, and how it has ended
More = Callable[[], Sequence[Task]]  # runs that are to be one with those that are at work

_log = logging.getLogger(__name__)


def do_all(tasks: Sequence[Task], means: Means, report: Report, end: End, more: More = lambda: ()) -> None:
    """Trains, and scores finalists on the test split. Calls `end` for each run, as soon as it has ended; for the last
    one when this process is free for the next job."""
    left = {task.run: task for task in tasks}
    untold: list[tuple[str, Ended]] = []

    def ended(run: str, how: Ended) -> None:
        del left[run]
        untold.append((run, how))
        if left:
            end(*untold.pop())

    def joining() -> Sequence[Task]:
        tasks = more()
        left.update({task.run: task for task in tasks})
        while left and untold:
            end(*untold.pop())
        return tasks

    reason = ""
    while left or joining():
        if len(left) > 1 and not reason:  # those that could not join a pack may be the next
            if reason := _as_one([*left.values()], means, report, ended, joining):
                _log.info("%s are done one after the other: %s", ", ".join(left), reason)
            if left and means.at.device.type == "cuda":
                torch.cuda.empty_cache()
            continue
        task = next(iter(left.values()))
        try:
            how: Ended = do(task, means, partial(report, task.run))
        except (Fault, UserError) as error:
            how = error
        ended(task.run, how)
    end(*untold.pop())


def _as_one(tasks: Sequence[Task], means: Means, report: Report, end: End, more: More) -> str:
    """Returns why those that have not ended cannot be one; empty where all have, or others could not join them."""
    torch.set_num_threads(max(1, int(tasks[0].experiment.resources.cpu)))
    shared, at = means.shared, means.at
    timeout_s = None if shared.timeout_s is None else shared.timeout_s * len(tasks)  # they share a device
    try:
        with watched(report, timeout_s) as heard, ExitStack() as places:

            def parts_of(tasks: Sequence[Task]) -> list[Part]:
                return [_part(task, means, heard, end, places.enter_context(ExitStack())) for task in tasks]

            train_pack(parts_of(tasks), shared.data, distributed=at, more=lambda: parts_of(more()))
    except (Fault, UserError) as error:
        return str(error)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return f"out of memory on {at.device}"
    return ""


def _part(task: Task, means: Means, report: Report, end: End, place: ExitStack) -> Part:
    path, keep = place.enter_context(means.shared.place.open(task.run, turn=task.turn))
    run = open_folder(path, task.experiment, means.at)

    def ended(how: Ended) -> None:
        if not isinstance(how, Fault | UserError):
            try:
                score(task, run, how, means.final)
            except (Fault, UserError) as error:
                how = error
        place.close()  # its files are safe before it is told
        end(task.run, how)

    return Part(task.experiment, run, means.shared.judge, partial(report, task.run), keep, ended)
