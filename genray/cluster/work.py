"""One run, from its experiment to its last row: what every process of a sweep does, whatever hands the runs out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from genray.config import Experiment
from genray.data.spec import Dataset, TrainingData
from genray.metrics.evaluate import Judge, evaluate_run
from genray.runs import Row, Run, create_run
from genray.train.distributed import Distributed
from genray.train.loop import train


@dataclass(frozen=True)
class Shared:
    """What all runs of a sweep read. Its arrays lie in Ray's object store once, and are read-only."""

    out: Path
    data: TrainingData
    judge: Judge  # over the validation split


@dataclass(frozen=True)
class Final:
    """What finalists alone are given: the test split, as a judge, and what real images score on it."""

    judge: Judge
    floor: dict[str, Any]
    dataset: Dataset


@dataclass(frozen=True)
class Task:
    """One run that is to be done. `run` names its folder below the sweep's."""

    run: str
    experiment: Experiment
    finalist: bool


def do(task: Task, shared: Shared, final: Callable[[], Final], report: Callable[[Row], bool], at: Distributed) -> Row:
    """Trains, and scores a finalist on the test split. Returns the last evaluated row."""
    torch.set_num_threads(max(1, int(task.experiment.resources.cpu)))
    run = open_place(shared.out / task.run, task.experiment, at)
    outcome = train(task.experiment, shared.data, run, judge=shared.judge, report=report, distributed=at)
    if task.finalist and at.rank == 0 and not outcome.stopped:
        given = final()
        evaluate_run(run, given.judge, given.floor, given.dataset)
    return outcome.row


def open_place(path: Path, experiment: Experiment, at: Distributed) -> Run:
    """The run's folder, which rank 0 makes, or finds from before."""
    return create_run(path, experiment, resume=True) if at.rank == 0 else Run(path, experiment)
