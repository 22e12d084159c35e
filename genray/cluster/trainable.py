"""A Tune trial: one actor that does one job after the other (`reuse_actors`), so that a run costs no process start."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
from ray import tune

from genray.claim import Turn
from genray.cluster.deaths import RAISED
from genray.cluster.group_lane import GroupLane
from genray.cluster.lane import Event, Lane
from genray.cluster.local_lane import LocalLane
from genray.cluster.study import Job
from genray.cluster.work import Final, Task
from genray.config import Experiment
from genray.files import parse_yaml, remove_if_empty


class Given:
    """References to what lies in the object store. The test split's is opened by finalists alone."""

    def __init__(self, shared: ray.ObjectRef, final: ray.ObjectRef) -> None:
        self.shared, self.final = shared, final


class Trial(tune.Trainable):  # type: ignore[misc]  # ray has no types
    """`config` is one job: {"runs": [{"run", "experiment" as YAML, "finalist"}, ...], "turn"}. Each step is one row of
    a run, or says how the run ended: {"kind": "row" | "done" | "stopped" | "failed", "run", "row", "reason"}. A row
    goes as pairs: of a dict Tune would keep statistics of every number, in the driver and for as long as the sweep
    lasts."""

    def setup(self, config: dict[str, Any], given: Given) -> None:
        tasks = as_tasks(config)
        experiment = tasks[0].experiment
        self._lane: Lane
        if experiment.workers == 1:
            self._lane = LocalLane(ray.get(given.shared), lambda: _fetch(given.final))
        else:
            storage = Path(self._storage.storage_fs_path) / "groups"
            self._lane = GroupLane(given.shared, given.final, experiment, storage)
        self._lane.start(tasks)
        self._folder = Path(self.logdir)

    def step(self) -> dict[str, Any]:
        event = self._lane.next()
        _end_process(event)
        told = {"kind": event.kind, "run": event.run, "row": list(event.row.items()), "reason": event.reason}
        return told | {"done": self._lane.ended}

    def refuse(self, run: str) -> None:
        """Ends a run after the row that was given last; others of its job go on."""
        self._lane.refuse(run)

    def take_in(self, config: dict[str, Any]) -> None:
        """More runs, which train as one with those that are at work."""
        self._lane.take_in(as_tasks(config))

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        if (event := self._lane.stop()) is not None:
            _end_process(event)
        remove_if_empty(self._folder)  # Tune has made the next one
        self._folder = Path(self.logdir)
        self._lane.start(as_tasks(new_config))
        return True

    def cleanup(self) -> None:
        self._lane.close()


def _end_process(event: Event) -> None:
    """Where the event ends the lane. The run is handed out again."""
    if event.kind == "died":
        raise RuntimeError(event.reason)
    if event.kind == "machine" or event.kind == "storage" or event.kind == "disk":
        raise RAISED[event.kind](event.reason)


def as_config(jobs: Sequence[Job], turn: Turn) -> dict[str, Any]:
    return {
        "runs": [{"run": job.run, "experiment": job.experiment.to_yaml(), "finalist": job.finalist} for job in jobs],
        "turn": list(turn),
    }


def as_tasks(config: dict[str, Any]) -> list[Task]:
    turn = Turn(*config["turn"])
    return [
        Task(each["run"], Experiment.parse(parse_yaml(each["experiment"], each["run"])), each["finalist"], turn)
        for each in config["runs"]
    ]


def _fetch(final: ray.ObjectRef) -> Final:
    given: Final = ray.get(final)
    return given
