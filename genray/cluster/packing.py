"""Several runs in one process: as one where they can be one, else one after the other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial

import torch

from genray.cluster.hanging import watched
from genray.cluster.work import Final, Shared, Task, do, is_out_of_memory, open_folder, score
from genray.errors import Fault, UserError
from genray.runs import Row
from genray.train.distributed import Distributed
from genray.train.together import Ended, Part, train_pack

Report = Callable[[str, Row], bool]  # a run's row, and whether the run goes on
How = Row | Fault | UserError  # a run has ended: with its last evaluated row, or with why it cannot go on
End = Callable[[str, How], None]

_log = logging.getLogger(__name__)


def do_all(
    tasks: Sequence[Task], shared: Shared, final: Callable[[], Final], report: Report, end: End, at: Distributed
) -> None:
    """Trains, and scores finalists on the test split. Calls `end` for each run, as soon as it has ended; for the last
    one when this process is free for the next job."""
    left = {task.run: task for task in tasks}
    untold: list[tuple[str, How]] = []

    def ended(run: str, how: How) -> None:
        del left[run]
        untold.append((run, how))
        if left:
            end(*untold.pop())

    if len(tasks) > 1 and (reason := _as_one(tasks, shared, final, report, ended, at)):
        _log.info("%s are done one after the other: %s", ", ".join(left), reason)
        if at.device.type == "cuda":
            torch.cuda.empty_cache()
    for task in list(left.values()):
        try:
            how: How = do(task, shared, final, partial(report, task.run), at)
        except (Fault, UserError) as error:
            how = error
        ended(task.run, how)
    end(*untold.pop())


def _as_one(
    tasks: Sequence[Task], shared: Shared, final: Callable[[], Final], report: Report, end: End, at: Distributed
) -> str:
    """Returns why those that have not ended cannot be one; empty where all have."""
    torch.set_num_threads(max(1, int(tasks[0].experiment.resources.cpu)))
    timeout_s = None if shared.timeout_s is None else shared.timeout_s * len(tasks)  # they share a device
    try:
        with watched(report, timeout_s) as heard, ExitStack() as places:
            parts = [_part(task, shared, final, heard, end, at, places.enter_context(ExitStack())) for task in tasks]
            train_pack(parts, shared.data, distributed=at)
    except (Fault, UserError) as error:
        return str(error)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return f"out of memory on {at.device}"
    return ""


def _part(
    task: Task, shared: Shared, final: Callable[[], Final], report: Report, end: End, at: Distributed, place: ExitStack
) -> Part:
    path, keep = place.enter_context(shared.place.open(task.run))
    run = open_folder(path, task.experiment, at)

    def ended(how: Ended) -> None:
        told: How
        if isinstance(how, Fault | UserError):
            told = how
        else:
            try:
                score(task, run, how, final)
                told = how.row
            except (Fault, UserError) as error:
                told = error
        place.close()  # its files are safe before it is told
        end(task.run, told)

    return Part(task.experiment, run, shared.judge, partial(report, task.run), keep, ended)
