"""One model of a sweep: its trials, then its finalists, over the sweep's folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from optuna.storages import BaseStorage
from optuna.trial import TrialState

from genray.cluster import folder
from genray.cluster.study import Job, ModelStudy
from genray.errors import UserError
from genray.runs import Row, open_run
from genray.space import Sweep
from genray.storage import stamps
from genray.train.alike import alike

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


class HandedBack(NamedTuple):
    """A run whose process died."""

    not_before: float
    job: Job
    alone: bool  # it may be the one that the process died of


class ModelQueue:
    """One model: its trials, then its finalists."""

    def __init__(self, sweep: Sweep, model: str, storage: BaseStorage, out: Path, set_aside: SetAside) -> None:
        self._sweep, self._out, self._rename = sweep, out / model, set_aside
        self.study = ModelStudy(sweep, model, storage)
        self._finalists: list[Job] | None = None  # still to be handed out; None until the search is done
        self._handed_back: list[HandedBack] = []
        self._pack_size, self._trial_pack_size = sweep.pack_size, sweep.trial_pack_size
        self._asked: list[Job] = []  # trials that were drawn, but were not like those that they were drawn for
        self.running: dict[str, Job] = {}

    def next(self) -> list[Job]:
        """A run for one process, or several finalists that train as one in it; none where none can be begun now."""
        jobs = self._due() or self._trials()
        if not jobs and self.study.finished:
            left = self._finalists_left()
            jobs, left[:] = left[: self._pack_size], left[self._pack_size :]
        self.running |= {job.name: job for job in jobs}
        return jobs

    def _trials(self) -> list[Job]:
        if (first := self._asked.pop(0) if self._asked else self._drawn()) is None:
            return []
        found = [first]
        while len(found) < self._trial_pack_size and (job := self._like(first)) is not None:
            found.append(job)
        return found

    def _drawn(self) -> Job | None:
        """The next trial. A folder of its name with another experiment is of one that the journal has lost."""
        if (job := self.study.next()) is not None and not self._is_current(job):
            self._set_aside(job.name)
        return job

    def _like(self, other: Job) -> Job | None:
        """A trial that may train as one with another. Few are drawn in vain: a sampler learns from those before."""
        for job in self._asked:
            if alike(job.experiment, other.experiment):
                self._asked.remove(job)
                return job
        while len(self._asked) < self._trial_pack_size and (drawn := self._drawn()) is not None:
            if alike(drawn.experiment, other.experiment):
                return drawn
            self._asked.append(drawn)
        return None

    def beside(self, other: Job) -> Job | None:
        """A trial that takes the place of one that has ended, in its pack; None where there is none."""
        if other.finalist or self._trial_pack_size == 1 or (job := self._like(other)) is None:
            return None
        self.running[job.name] = job
        return job

    def _due(self) -> list[Job]:
        """The first that was handed back and need not wait any longer, with others that may go with it."""
        now = time.monotonic()
        due = [each for each in self._handed_back if each.not_before <= now]
        packed = [each for each in due if not each.alone and each.job.finalist]
        taken = packed[: self._pack_size] if due[:1] == packed[:1] else due[:1]
        self._handed_back = [each for each in self._handed_back if each not in taken]
        return [each.job for each in taken]

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
        """Nothing is overwritten: what is no longer a run of the sweep keeps its folder under replaced/. A folder with
        hidden files alone, of who works there, is of a run that nothing was kept of yet."""
        if stamps(self._out / name):
            self._rename(f"{self.study.model}/{name}", f"{self.study.model}/{folder.free_name(self._out, name)}")

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

    def hand_back(self, job: Job, *, pause_s: float, alone: bool) -> None:
        """After the pause it comes next again, before any other, and goes on from its checkpoint."""
        del self.running[job.name]
        self._handed_back.append(HandedBack(time.monotonic() + pause_s, job, alone))

    @property
    def finished(self) -> bool:
        waits = self.running or self._handed_back or self._asked
        return self.study.finished and not waits and not self._finalists_left()

    def status(self) -> Status:
        study, best = self.study, self.study.best()
        names = [f"finalist_{k}" for k in range(self._sweep.finalists.seeds)]
        waiting = {each.job.name for each in self._handed_back} | self.running.keys()
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
