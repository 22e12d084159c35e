"""Which run comes next, and what becomes of it: plain Python over the sweep's folder, that Tune's hooks call.

Models take turns. A model whose search is done goes on with its finalists while the others still search, so that no
lane is idle; its own trials alone decide what is stopped and what is best.
"""

from __future__ import annotations

import math
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Literal, get_args

from optuna.storages import BaseStorage

from genray.claim import Turn
from genray.cluster.queue import ModelQueue, SetAside, Status
from genray.cluster.study import Job
from genray.runs import Row
from genray.space import Sweep
from genray.storage import Disk

MACHINE_DEATHS = 20  # of one run, before it is taken for their cause
STORAGE_FAULTS = 5  # of any runs, with none between that went to its end, before the sweep is stopped

# Of a death: by itself, with its machine, of a storage or the way to it, of a disk that is full or read-only, or before
# it had begun, as where no process finds room to start
Cause = Literal["process", "machine", "storage", "disk", "start"]
MOST_PAUSE_S = 60.0  # before a run is tried again whose processes do not start: its machine may be mended meanwhile


@dataclass(frozen=True, eq=False)
class Pack:
    """A run that is handed out, or several that train as one."""

    size: int


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
        self._giver, self._given = uuid.uuid4().hex, 0
        self._jobs: dict[str, tuple[ModelQueue, Job]] = {}
        self._packs: dict[str, Pack] = {}  # of each run that is handed out
        self._started: dict[str, float] = {}
        self._heard: dict[str, float] = {}  # when each run began in its process, or gave its last row
        self._timeout_s = math.inf if sweep.trial_timeout_s is None else sweep.trial_timeout_s
        self._ended = 0
        self._seconds: dict[tuple[str, bool], list[float]] = {}  # of ended runs, by (model, finalist)
        self._pack_size = sweep.pack_size

    def next(self) -> list[Job]:
        """For a free lane: a run, or several that train as one. Empty where no lane is free, or no run can be begun
        before another ends."""
        if len(set(self._packs.values())) >= self.lanes or self.halted:
            return []
        for _ in self._queues:
            queue = self._queues[self._turn]
            self._turn = (self._turn + 1) % len(self._queues)
            if jobs := queue.next():
                pack = Pack(len(jobs))
                for job in jobs:
                    self._note(queue, job, pack)
                return jobs
        return []

    def at_work(self, runs: Sequence[str]) -> list[str]:
        """Those that have not ended."""
        return [run for run in runs if run in self._jobs]

    def beside(self, run: str) -> Job | None:
        """One more for a pack in which a run has ended and this one is at work; None where there is none."""
        queue, other = self._jobs[run]
        if self.halted or (job := queue.beside(other)) is None:
            return None
        self._note(queue, job, self._packs[run])
        return job

    @property
    def turn(self) -> Turn:
        """Of what was handed out last. Of two processes with one run, it belongs to that of the later turn."""
        return Turn(self._giver, self._given)

    def _note(self, queue: ModelQueue, job: Job, pack: Pack) -> None:
        self._given += 1
        self._jobs[job.run], self._packs[job.run], self._started[job.run] = (queue, job), pack, time.monotonic()

    def _share_s(self, run: str) -> float:
        """Seconds since it was handed out: of several that train as one, a share each."""
        return (time.monotonic() - self._started[run]) / self._packs[run].size

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

    def died(self, runs: Sequence[str], cause: Cause, reason: str) -> None:
        """Their process is gone. Those that have not ended are handed out again, up to `max_failures` times; that the
        machine died, had no room on its disk or started no process does not count. Where storage fails for all, the
        sweep is stopped."""
        if cause == "storage" or cause == "disk":
            self._storage_faults += 1
            if self._storage_faults >= self._most_storage_faults:
                which = "a run" if self._storage_faults == 1 else f"{self._storage_faults} runs one after the other"
                self.halted, self.halted_by = f"{which} could not write: {reason}", cause
        left = [run for run in runs if run in self._jobs]
        heard = max((self._heard.get(run, math.inf) for run in left), default=math.inf)
        if cause == "process" and time.monotonic() - heard >= self._timeout_s * len(runs):
            reason = f"it gave no row in trial_timeout_s={self._timeout_s:g} and was ended; its log says where it hung"
        for run in left:
            self._died(run, cause, reason, alone=cause == "process" and len(left) > 1)

    def _died(self, run: str, cause: Cause, reason: str, *, alone: bool) -> None:
        self._deaths[run, cause] += 1
        if (deaths := self._deaths[run, cause]) > self._max_deaths[cause]:
            times = "once" if deaths == 1 else f"{deaths} times, the last time"
            self.fail(run, f"its {'process did not start' if cause == 'start' else f'{cause} died'} {times}: {reason}")
        else:
            queue, job = self._forget(run)
            pause_s = min(2.0 ** (deaths - 1), MOST_PAUSE_S) if cause == "start" else 0.0
            queue.hand_back(job, pause_s=pause_s, alone=alone)

    def _forget(self, run: str) -> tuple[ModelQueue, Job]:
        seconds, (queue, job) = self._share_s(run), self._jobs.pop(run)
        del self._packs[run], self._started[run]
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
        left, jobs = 0.0, 0
        for s in self.status():
            trials = max(0, s.trials - s.complete - s.stopped - s.failed)
            finalists = max(0, s.finalists - s.finalists_done - s.finalists_failed)
            left += trials * self._typical(s.model, finalist=False)
            left += finalists * self._typical(s.model, finalist=True)
            jobs += trials + math.ceil(finalists / self._pack_size)
        for run, (_, job) in self._jobs.items():
            left -= min(self._typical(job.model, finalist=job.finalist), self._share_s(run))
        return max(0.0, left / max(1, min(self.lanes, jobs)))

    def _typical(self, model: str, *, finalist: bool) -> float:
        """Seconds of such a run. A finalist is never stopped: before the first one, as long as the longest trial."""
        if seconds := self._seconds.get((model, finalist)):
            return fmean(seconds)
        known = self._seconds.get((model, False)) or [s for runs in self._seconds.values() for s in runs]
        return max(known) if finalist else fmean(known)
