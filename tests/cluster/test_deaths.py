"""What becomes of a run whose process or machine died, without Ray."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from ray.exceptions import ActorUnavailableError, RayTaskError

from genray.claim import Claim, Superseded
from genray.cluster import folder
from genray.cluster.conductor import MACHINE_DEATHS, STORAGE_FAULTS, Conductor
from genray.cluster.deaths import DiskFault, MachineDeath, StorageFault, cause_of
from genray.cluster.hooks import HandOut
from genray.cluster.trainable import as_tasks
from genray.runs import create_run
from genray.space import Sweep
from genray.storage import Disk

ROW = {"epoch": 2, "validation/frechet": 1.0, "train_seconds": 1.0}
TREE: dict[str, Any] = {
    "experiment": {"dataset": "digits", "epochs": 2, "evaluate_every": 1},
    "models": ["vae"],
    "search": {"model.hidden": {"int": [8, 64]}},
    "trials": 3,
    "max_failures": 2,
    "finalists": {"seeds": 2},
}


@pytest.fixture
def conductor(tmp_path: Path) -> Iterator[Conductor]:
    sweep = Sweep.parse(TREE)
    with folder.opened(tmp_path / "out", sweep) as storage:
        yield Conductor(sweep, storage, tmp_path / "out", lanes=1)


def begin(conductor: Conductor) -> str:
    [job] = conductor.next()
    create_run(conductor.out / job.run, job.experiment, resume=True)
    return job.run


def states(conductor: Conductor) -> list[TrialState]:
    return [trial.state for trial in conductor._queues[0].study._trials()]


def test_a_run_is_handed_out_again_before_any_other_and_under_its_name(conductor: Conductor) -> None:
    run = begin(conductor)
    conductor.died([run], "process", "SIGKILL")
    assert not conductor.finished
    assert begin(conductor) == run
    conductor.complete(run, ROW)
    assert states(conductor) == [TrialState.COMPLETE]


def test_it_belongs_to_whom_it_was_handed_out_last_where_the_one_before_comes_late(
    conductor: Conductor, tmp_path: Path
) -> None:
    """As a process does that was believed dead while it started."""
    hand_out, turns = HandOut(conductor), []
    for trial in ("first", "second"):
        given = hand_out.suggest(trial)
        assert isinstance(given, dict)
        [task] = as_tasks(given)
        turns.append(task.turn)
        if trial == "first":
            conductor.died([task.run], "machine", "is unavailable: The actor is temporarily unavailable")
    kept = Disk(tmp_path / "kept")
    second = Claim(kept, task.run, turns[1])
    with pytest.raises(Superseded):
        Claim(kept, task.run, turns[0])
    second.check()


def test_it_fails_once_its_process_died_too_often_and_says_why(conductor: Conductor) -> None:
    for _ in range(3):
        run = begin(conductor)
        conductor.died([run], "process", "SIGSEGV")
    assert states(conductor) == [TrialState.FAIL]
    [trial] = conductor._queues[0].study._trials()
    assert trial.user_attrs["reason"] == "its process died 3 times, the last time: SIGSEGV"
    assert begin(conductor) == "vae/trial_0001"


def test_that_its_machine_died_does_not_count(conductor: Conductor) -> None:
    for _ in range(MACHINE_DEATHS):
        run = begin(conductor)
        conductor.died([run], "machine", "preempted")
    for _ in range(2):
        run = begin(conductor)
        conductor.died([run], "process", "SIGKILL")
    assert begin(conductor) == "vae/trial_0000"
    conductor.died(["vae/trial_0000"], "machine", "preempted")
    assert states(conductor) == [TrialState.FAIL], "it is taken for the cause of so many deaths"


def test_processes_that_do_not_start_are_waited_for(conductor: Conductor, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine whose disk is full: that is no fault of the run, and Ray would try again there at once."""
    now = 0.0
    monkeypatch.setattr("genray.cluster.conductor.time.monotonic", lambda: now)
    run, waits = begin(conductor), []
    for _ in range(8):
        conductor.died([run], "start", "end of file")
        died = now
        while not (jobs := conductor.next()) or jobs[0].run != run:
            if not jobs:
                now += 0.5
            else:
                conductor.complete(jobs[0].run, ROW)
        waits.append(now - died)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    conductor.complete(run, ROW)
    assert states(conductor) == [TrialState.COMPLETE] * 3


def test_a_finalist_too_is_handed_out_again(conductor: Conductor) -> None:
    for _ in range(3):
        conductor.complete(begin(conductor), ROW)
    run = begin(conductor)
    assert run == "vae/finalist_0"
    conductor.died([run], "machine", "preempted")
    [status] = conductor.status()
    assert (status.finalists_done, status.finalists) == (0, 2)
    assert begin(conductor) == run
    conductor.complete(run, ROW)
    conductor.complete(begin(conductor), ROW)
    assert conductor.finished


def test_where_nothing_can_be_written_the_sweep_ends_and_counts_nothing(conductor: Conductor) -> None:
    for k in range(STORAGE_FAULTS):
        assert conductor.halted == "", k
        conductor.died([begin(conductor)], "storage", "node-2: no such host")
    assert conductor.halted == f"{STORAGE_FAULTS} runs one after the other could not write: node-2: no such host"
    assert conductor.halted_by == "storage"
    assert conductor.next() == []
    assert HandOut(conductor).suggest("next") == HandOut.FINISHED
    assert states(conductor) == [TrialState.RUNNING]


def test_a_machine_that_is_alone_is_not_tried_again(tmp_path: Path) -> None:
    sweep = Sweep.parse(TREE)
    with folder.opened(tmp_path / "out", sweep) as storage:
        conductor = Conductor(sweep, storage, tmp_path / "out", lanes=1, storage_faults=1)
        conductor.died([begin(conductor)], "disk", "here: full; free some room")
        assert conductor.halted == "a run could not write: here: full; free some room"
        assert conductor.halted_by == "disk"
        assert states(conductor) == [TrialState.RUNNING]


def test_one_full_disk_among_machines_that_work_does_not_end_it(conductor: Conductor) -> None:
    for _ in range(3):
        for _ in range(STORAGE_FAULTS - 1):
            conductor.died([begin(conductor)], "disk", "full")
        conductor.complete(begin(conductor), ROW)
    assert conductor.halted == ""
    assert states(conductor) == [TrialState.COMPLETE] * 3


def in_a_task(error: Exception) -> RayTaskError:
    """As Ray hands over what a method of an actor raised."""
    text = f"ray::Trial.step() (pid=7, ip=10.0.0.3)\n  File lane.py, line 1\n{type(error).__module__}."
    return RayTaskError("step", f"{text}{type(error).__name__}: {error}", error)


@pytest.mark.parametrize(
    ("error", "cause", "reason"),
    [
        (in_a_task(RuntimeError("CUDA error: an illegal access")), "process", "illegal access"),
        (in_a_task(StorageFault("node-2: no such host")), "storage", "node-2: no such host"),
        (
            in_a_task(DiskFault("node-2: /a/b: No space left on device")),
            "disk",
            "node-2: /a/b: No space left on device",
        ),
        (in_a_task(MachineDeath("The actor died because its node has died.")), "machine", "its node has died"),
        (ActorUnavailableError("keepalive watchdog timeout", b"\0" * 16), "machine", "is unavailable"),
        (in_a_task(RuntimeError("Superseded: a/.owner says that b works on this now")), "machine", "works on this"),
        (None, "process", "no reason is known"),
    ],
)
def test_causes_are_told_apart(error: Exception | None, cause: str, reason: str) -> None:
    found, words = cause_of(f"Failure # 1 (occurred at 2026-01-31)\n{error}\n" if error else "")
    assert found == cause
    assert reason in words
    assert "Fault: " not in words, "a class's name tells a user nothing"
    assert "\n" not in words


def test_a_process_that_did_not_come_to_its_run_is_told_from_one_that_died_of_it() -> None:
    died = "The actor is dead because its worker process has died."
    assert cause_of(died, started=False)[0] == "start"
    assert cause_of(died, started=True)[0] == "process"
    assert cause_of("The actor died because its node has died.", started=False)[0] == "machine"
    assert cause_of("The actor died because of an error raised in its creation task", started=False)[0] == "process"
