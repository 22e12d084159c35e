"""Which run comes next, and what becomes of it: plain Python over the sweep's folder, that Tune's hooks call.

Models take turns. A model whose search is done goes on with its finalists while the others still search, so that no
lane is idle; its own trials alone decide what is stopped and what is best.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Literal, get_args

from optuna.storages import BaseStorage
from optuna.trial import TrialState

from genray.cluster.study import Job, ModelStudy
from genray.errors import UserError
from genray.runs import Row, open_run
from genray.space import Sweep
from genray.storage import Disk

MACHINE_DEATHS = 20  # of one run, before it is taken for their cause
STORAGE_FAULTS = 5  # of any runs, with none between that went to its end, before the sweep is stopped

# Of a death: by itself, with its machine, of a storage or the way to it, of a disk that is full or read-only, or before
# it had begun, as where no process finds room to start
Cause = Literal["process", "machine", "storage", "disk", "start"]
MOST_PAUSE_S = 60.0  # before a run is tried again whose processes do not start: its machine may be mended meanwhile
SetAside = Callable[[str, str], object]  # renames a run's folder: (its name, its new name)


@dataclass(frozen=True)
class Status:
    """How far one model is."""

    model: str
    trials: int
    complete: int
    stopped: int
    failed: int
    running: int  # finalists included
    finalists: int
    finalists_done: int
    finalists_failed: int
    best: float | None
    note: str  # why there are no finalists, where there are none


class ModelQueue:
    """One model: its trials, then its finalists."""

    def __init__(self, sweep: Sweep, model: str, storage: BaseStorage, out: Path, set_aside: SetAside) -> None:
        self._sweep, self._out, self._rename = sweep, out / model, set_aside
        self.study = ModelStudy(sweep, model, storage)
        self._finalists: list[Job] | None = None  # still to be handed out; None until the search is done
        self._handed_back: list[tuple[float, Job]] = []  # not before that time
        self.running: dict[str, Job] = {}

    def next(self) -> Job | None:
        job = self._due() or self.study.next()
        if job is None and self.study.finished and (left := self._finalists_left()):
            job = left.pop(0)
        if job is not None:
            self.running[job.name] = job
        return job

    def _due(self) -> Job | None:
        """The first that was handed back and need not wait any longer."""
        for i, (when, job) in enumerate(self._handed_back):
            if when <= time.monotonic():
                del self._handed_back[i]
                return job
        return None

    def _finalists_left(self) -> list[Job]:
        """Once the search is done: what is still to be handed out."""
        if self._finalists is None:
            self._finalists = self._missing_finalists()
        return self._finalists

    def _missing_finalists(self) -> list[Job]:
        best = self.study.best()
        self.study.note({"no_finalists": "" if best else self.study.why_none()})
        if best is None:
            return []
        missing = []
        for k, seed in enumerate(self._sweep.finalist_seeds()):
            name = f"finalist_{k}"
            experiment = self._sweep.experiment_of(self.study.model, best[0], seed=seed)
            job = Job(self.study.model, name, experiment, finalist=True)
            if not self._is_current(job):
                self._set_aside(name)
                if name in self.failed_finalists:
                    self._note_finalist(name, "")
                missing.append(job)
            elif open_run(self._out / name).result is None and name not in self.failed_finalists:
                missing.append(job)
        return missing

    def _is_current(self, job: Job) -> bool:
        """Whether the folder holds this very experiment: more trials may have found a better one since."""
        try:
            return not open_run(self._out / job.name).experiment.differences(job.experiment)
        except UserError:
            return False

    def _set_aside(self, name: str) -> None:
        """Nothing is overwritten: a finalist that is no longer one keeps its folder under replaced/."""
        if (self._out / name).exists():
            place = self._out / "replaced"
            number = len(list(place.iterdir())) if place.exists() else 0
            self._rename(f"{self.study.model}/{name}", f"{self.study.model}/replaced/{name}_{number}")

    @property
    def failed_finalists(self) -> dict[str, str]:
        failed: dict[str, str] = self.study.notes.get("failed_finalists", {})
        return failed

    def _note_finalist(self, name: str, reason: str) -> None:
        others = {key: value for key, value in self.failed_finalists.items() if key != name}
        self.study.note({"failed_finalists": others | ({name: reason} if reason else {})})

    def report(self, job: Job, row: Row) -> bool:
        if job.finalist or self.study.report(job.name, row):
            return True
        del self.running[job.name]
        return False

    def complete(self, job: Job, row: Row) -> None:
        del self.running[job.name]
        if not job.finalist:
            self.study.complete(job.name, row)

    def fail(self, job: Job, reason: str) -> None:
        del self.running[job.name]
        if job.finalist:
            self._note_finalist(job.name, reason)
        else:
            self.study.fail(job.name, reason)

    def hand_back(self, job: Job, *, pause_s: float) -> None:
        """After the pause it comes next again, before any other, and goes on from its checkpoint."""
        del self.running[job.name]
        self._handed_back.append((time.monotonic() + pause_s, job))

    @property
    def finished(self) -> bool:
        waits = self.running or self._handed_back
        return self.study.finished and not waits and not self._finalists_left()

    def status(self) -> Status:
        study, best = self.study, self.study.best()
        names = [f"finalist_{k}" for k in range(self._sweep.finalists.seeds)]
        waiting = {job.name for _, job in self._handed_back} | self.running.keys()
        left = {job.name for job in self._finalists_left()} | waiting if study.finished else set(names)
        ended = [name for name in names if name not in left] if best else []
        failed = [name for name in ended if name in self.failed_finalists]
        return Status(
            model=study.model,
            trials=self._sweep.num_trials,
            complete=study.count(TrialState.COMPLETE),
            stopped=study.count(TrialState.PRUNED),
            failed=study.count(TrialState.FAIL),
            running=len(self.running),
            finalists=len(names) if best or not study.finished else 0,
            finalists_done=len(ended) - len(failed),
            finalists_failed=len(failed),
            best=best[1] if best else None,
            note=study.why_none() if study.finished and best is None else "",
        )


class Conductor:
    """All models of a sweep. Runs are known by their folder's name below the sweep's: "vae/trial_0007"."""

    def __init__(
        self,
        sweep: Sweep,
        storage: BaseStorage,
        out: Path,
        *,
        lanes: int,
        set_aside: SetAside | None = None,
        storage_faults: int = STORAGE_FAULTS,
    ) -> None:
        """`set_aside` renames a run's folder where it is kept: by default, in `out`. After so many `storage_faults`,
        with no run between that went to its end, the sweep is stopped."""
        rename = set_aside or Disk(out).move
        self._queues = [ModelQueue(sweep, model, storage, out, rename) for model in sweep.models]
        self.out, self.lanes, self._turn = out, lanes, 0
        self._max_deaths = dict.fromkeys(get_args(Cause), MACHINE_DEATHS) | {"process": sweep.max_failures}
        self._storage_faults, self._most_storage_faults = 0, storage_faults
        self.halted = ""  # why the sweep is to end before it is finished
        self.halted_by: Cause | None = None  # where runs were the reason
        self._deaths = Counter[tuple[str, Cause]]()
        self._jobs: dict[str, tuple[ModelQueue, Job]] = {}
        self._started: dict[str, float] = {}
        self._heard: dict[str, float] = {}  # when each run began in its process, or gave its last row
        self._timeout_s = math.inf if sweep.trial_timeout_s is None else sweep.trial_timeout_s
        self._ended = 0
        self._seconds: dict[tuple[str, bool], list[float]] = {}  # of ended runs, by (model, finalist)

    def next(self) -> Job | None:
        """A run for a free lane; None where no lane is free, or none can be begun before another ends."""
        if len(self._jobs) >= self.lanes or self.halted:
            return None
        for _ in self._queues:
            queue = self._queues[self._turn]
            self._turn = (self._turn + 1) % len(self._queues)
            if (job := queue.next()) is not None:
                self._jobs[job.run] = queue, job
                self._started[job.run] = time.monotonic()
                return job
        return None

    @property
    def num_handed_out(self) -> int:
        """Runs that are at work, or wait for a machine."""
        return len(self._jobs)

    @property
    def finished(self) -> bool:
        return not self._jobs and all(queue.finished for queue in self._queues)

    def report(self, run: str, row: Row) -> bool:
        """A row that a run has evaluated; False ends the run."""
        queue, job = self._jobs[run]
        self.heard(run)
        if queue.report(job, row):
            return True
        self._forget(run)
        return False

    def heard(self, run: str) -> None:
        """A sign of life."""
        self._heard[run] = time.monotonic()

    def complete(self, run: str, row: Row) -> None:
        queue, job = self._forget(run)
        self._storage_faults = 0
        queue.complete(job, row)

    def fail(self, run: str, reason: str) -> None:
        queue, job = self._forget(run)
        queue.fail(job, reason)

    def died(self, run: str, cause: Cause, reason: str) -> None:
        """Its process is gone. The run is handed out again, up to `max_failures` times; that its machine died, had no
        room on its disk or started no process does not count. Where storage fails for all, the sweep is stopped."""
        if cause == "process" and time.monotonic() - self._heard.get(run, math.inf) >= self._timeout_s:
            reason = f"it gave no row in trial_timeout_s={self._timeout_s:g} and was ended; its log says where it hung"
        if cause == "storage" or cause == "disk":
            self._storage_faults += 1
            if self._storage_faults >= self._most_storage_faults:
                which = "a run" if self._storage_faults == 1 else f"{self._storage_faults} runs one after the other"
                self.halted, self.halted_by = f"{which} could not write: {reason}", cause
        self._deaths[run, cause] += 1
        if (deaths := self._deaths[run, cause]) > self._max_deaths[cause]:
            times = "once" if deaths == 1 else f"{deaths} times, the last time"
            self.fail(run, f"its {'process did not start' if cause == 'start' else f'{cause} died'} {times}: {reason}")
        else:
            queue, job = self._forget(run)
            queue.hand_back(job, pause_s=min(2.0 ** (deaths - 1), MOST_PAUSE_S) if cause == "start" else 0.0)

    def _forget(self, run: str) -> tuple[ModelQueue, Job]:
        queue, job = self._jobs.pop(run)
        seconds = time.monotonic() - self._started.pop(run)
        self._heard.pop(run, None)
        self._ended += 1
        if self._ended > self.lanes:  # the first of each lane waited for its process to start
            self._seconds.setdefault((job.model, job.finalist), []).append(seconds)
        return queue, job

    def status(self) -> Sequence[Status]:
        return [queue.status() for queue in self._queues]

    def seconds_left(self) -> float | None:
        """An estimate: what is left takes as long as what has ended, on average. None before anything has."""
        if not self._seconds:
            return None
        left = 0.0
        for s in self.status():
            left += max(0, s.trials - s.complete - s.stopped - s.failed) * self._typical(s.model, finalist=False)
            left += max(0, s.finalists - s.finalists_done - s.finalists_failed) * self._typical(s.model, finalist=True)
        for run, (_, job) in self._jobs.items():
            typical = self._typical(job.model, finalist=job.finalist)
            left -= min(typical, time.monotonic() - self._started[run])
        return max(0.0, left / self.lanes)

    def _typical(self, model: str, *, finalist: bool) -> float:
        """Seconds of such a run. A finalist is never stopped: before the first one, as long as the longest trial."""
        if seconds := self._seconds.get((model, finalist)):
            return fmean(seconds)
        known = self._seconds.get((model, False)) or [s for runs in self._seconds.values() for s in runs]
        return max(known) if finalist else fmean(known)
