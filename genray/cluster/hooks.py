"""Where Tune asks what to do, it asks the conductor.

Tune calls the stopper with every result before anything else (tune/execution/tune_controller.py,
`_process_trial_result`), so that is where rows and ends are told. What is left to the searcher is to hand out trials.
A trial whose process died comes by the callback alone, which knows the error. Tune retries none itself: a run that is
to be done again is handed out again, as a new trial.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray.tune import Callback, Stopper
from ray.tune.search import Searcher

from genray.cluster.conductor import Conductor
from genray.cluster.deaths import cause_of
from genray.cluster.trainable import as_config
from genray.files import remove_if_empty


class _NotSaved:
    """Tune pickles what it is given, to restore from. Here a sweep is restored from its folder."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class HandOut(_NotSaved, Searcher):  # type: ignore[misc]  # ray has no types
    def __init__(self, conductor: Conductor) -> None:
        super().__init__()
        self._conductor = conductor
        self.runs: dict[str, list[str]] = {}  # Tune's id of a trial → its runs' folders

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if not (jobs := self._conductor.next()):
            is_over = self._conductor.finished or self._conductor.halted  # for None, Tune would wait for minutes
            return str(Searcher.FINISHED) if is_over else None
        self.runs[trial_id] = [job.run for job in jobs]
        return as_config(jobs, self._conductor.turn)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        pass

    def save(self, checkpoint_path: str) -> None:
        pass

    def restore(self, checkpoint_path: str) -> None:
        pass

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        pass


class Tell(_NotSaved, Stopper):  # type: ignore[misc]  # ray has no types
    def __init__(self, conductor: Conductor, runs: Mapping[str, list[str]]) -> None:
        self._conductor, self._runs = conductor, runs
        self.refused = set[str]()  # runs that are to be stopped while others of their trial go on

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether the trial is over."""
        run, row = result["run"], dict(result["row"])
        if result["kind"] == "row":
            if self._conductor.report(run, row):
                return False
            if not self._conductor.at_work(self._runs[trial_id]):
                return True
            self.refused.add(run)
            return False
        if result["kind"] == "stopped":
            pass  # as it was told
        elif result["kind"] == "done":
            self._conductor.complete(run, row)
        else:
            self._conductor.fail(run, result["reason"])
        return bool(result["done"])

    def stop_all(self) -> bool:
        return bool(self._conductor.halted)


class Watch(_NotSaved, Callback):  # type: ignore[misc]  # ray has no types
    """What becomes of a pack, deaths of processes, and ticks ten times a second."""

    def __init__(
        self, conductor: Conductor, runs: Mapping[str, list[str]], refused: set[str], *ticks: Callable[[], None]
    ) -> None:
        self._conductor, self._runs, self._refused, self._ticks = conductor, runs, refused, ticks
        self._started = set[str]()

    def on_trial_result(self, *, trial: Any, result: dict[str, Any], **info: Any) -> None:
        """Tune calls this after `Tell`, and before the process is asked for the next row: what it is told here comes
        first."""
        run, runs, actor = result["run"], self._runs[trial.trial_id], trial.temporary_state.ray_actor
        is_refused = run in self._refused
        if not is_refused and result["kind"] not in ("done", "failed"):
            return
        others = self._conductor.at_work(runs)
        if others and (job := self._conductor.beside(others[0])) is not None:
            runs.append(job.run)
            actor.take_in.remote(as_config([job], self._conductor.turn))
            self._conductor.heard(job.run)
        if is_refused:
            self._refused.remove(run)
            actor.refuse.remote(run)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._started.add(trial.trial_id)
        for run in self._runs[trial.trial_id]:
            self._conductor.heard(run)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        for tick in self._ticks:
            tick()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        remove_if_empty(Path(trial.local_path))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        cause, reason = cause_of(_told_of(trial), started=trial.trial_id in self._started)
        self._conductor.died(self._runs[trial.trial_id], cause, reason)


def _told_of(trial: Any) -> str:
    """What Tune keeps of a trial's error, in the driver's own copy: its getters read one that is written later."""
    path = trial.error_file
    return Path(path).read_text(errors="replace") if path and Path(path).exists() else ""
