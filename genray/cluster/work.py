"""One run, from its experiment to its last row: what every process of a sweep does, whatever hands the runs out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from genray.claim import Turn
from genray.cluster.hanging import watched
from genray.cluster.place import Place
from genray.config import Experiment
from genray.data.spec import Dataset, TrainingData
from genray.errors import Fault
from genray.evaluation.evaluate import evaluate_run
from genray.evaluation.judge import Judge
from genray.runs import Row, Run, create_run
from genray.train.distributed import Distributed
from genray.train.loop import Outcome, train


@dataclass(frozen=True)
class Shared:
    """What all runs of a sweep read. Its arrays lie in Ray's object store once, and are read-only."""

    place: Place
    data: TrainingData
    judge: Judge  # over the validation split
    timeout_s: float | None = None  # from one row of a run to the next


@dataclass(frozen=True)
class Final:
    """What finalists alone are given: the test split, as a judge, and what real images score on it."""

    judge: Judge
    floor: dict[str, Any]
    dataset: Dataset


@dataclass(frozen=True)
class Means:
    """What a process has for whatever run it does."""

    shared: Shared
    final: Callable[[], Final]  # opened by finalists alone
    at: Distributed


@dataclass(frozen=True)
class Task:
    """One run that is to be done. `run` names its folder below the sweep's."""

    run: str
    experiment: Experiment
    finalist: bool
    turn: Turn | None = None  # which time it is handed out


def do(task: Task, means: Means, report: Callable[[Row], bool]) -> Outcome:
    """Trains, and scores a finalist on the test split.

    Raises Fault for a run that can never go on as it is.
    """
    torch.set_num_threads(max(1, int(task.experiment.resources.cpu)))
    shared, at = means.shared, means.at
    with (
        watched(report, shared.timeout_s if at.rank == 0 else None) as heard,  # which alone reports, and waits for all
        shared.place.open(task.run, rank=at.rank, turn=task.turn) as (path, keep),
        _told_when_out_of_memory(task.experiment, at),
    ):
        run = open_folder(path, task.experiment, at)
        outcome = train(task.experiment, shared.data, run, judge=shared.judge, report=heard, saved=keep, distributed=at)
        if at.rank == 0:
            score(task, run, outcome, means.final)
    return outcome


def score(task: Task, run: Run, outcome: Outcome, final: Callable[[], Final]) -> None:
    """A finalist that went to its end, on the test split, once."""
    if task.finalist and not outcome.stopped and run.result is None:
        given = final()
        evaluate_run(run, given.judge, given.floor, given.dataset)


def open_folder(path: Path, experiment: Experiment, at: Distributed) -> Run:
    """The run's folder, which rank 0 makes, or finds from before."""
    return create_run(path, experiment, resume=True) if at.rank == 0 else Run(path, experiment)


@contextlib.contextmanager
def _told_when_out_of_memory(experiment: Experiment, at: Distributed) -> Iterator[None]:
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        share = ""
        if at.device.type == "cuda":
            torch.cuda.empty_cache()
            share = ", or give a run more of a GPU by experiment.resources.gpu"
        raise Fault(
            f"out of memory on {at.device} with batch_size={experiment.batch_size}, "
            f"model.hidden={experiment.model.hidden}; lower batch_size or the model's size{share}"
        ) from error


def is_out_of_memory(error: BaseException) -> bool:
    """PyTorch has a class of its own for a GPU's memory; a CPU's it tells by the message alone."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
