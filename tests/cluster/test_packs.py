"""Finalists that are handed out as one, without Ray."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from genray.cluster import folder
from genray.cluster.conductor import STORAGE_FAULTS, Conductor
from genray.errors import UserError
from genray.runs import create_run
from genray.space import Sweep

ROW = {"epoch": 2, "validation/frechet": 1.0, "train_seconds": 1.0}
TREE: dict[str, Any] = {
    "experiment": {"dataset": "digits", "epochs": 2, "evaluate_every": 1},
    "models": ["vae"],
    "search": {"model.hidden": {"int": [8, 64]}},
    "trials": 1,
    "finalists": {"seeds": 4, "pack": 3},
}
FIRST = [f"vae/finalist_{k}" for k in range(3)]


@pytest.fixture
def conductor(tmp_path: Path) -> Iterator[Conductor]:
    """Whose trials are done."""
    sweep = Sweep.parse(TREE)
    with folder.opened(tmp_path / "out", sweep) as storage:
        conductor = Conductor(sweep, storage, tmp_path / "out", lanes=1)
        [trial] = begin(conductor)
        conductor.complete(trial, ROW)
        yield conductor


def begin(conductor: Conductor) -> list[str]:
    jobs = conductor.next()
    for job in jobs:
        create_run(conductor.out / job.run, job.experiment, resume=True)
    return [job.run for job in jobs]


def end(conductor: Conductor, run: str) -> None:
    assert conductor.report(run, ROW)
    (conductor.out / run / "result.json").write_text(json.dumps({"metrics": {}}))
    conductor.complete(run, ROW)


def test_finalists_of_one_model_are_handed_out_as_one_and_take_one_lane(conductor: Conductor) -> None:
    assert begin(conductor) == FIRST
    assert begin(conductor) == [], "the lane is taken"
    assert conductor.status()[0].running == 3
    for run in FIRST[:2]:
        end(conductor, run)
        assert begin(conductor) == []
    end(conductor, FIRST[2])
    assert begin(conductor) == ["vae/finalist_3"]
    assert conductor.status()[0].finalists_done == 3


def test_one_that_fails_leaves_the_others(conductor: Conductor) -> None:
    begin(conductor)
    conductor.fail(FIRST[1], "the loss is not finite")
    for run in (FIRST[0], FIRST[2]):
        end(conductor, run)
    [vae] = conductor.status()
    assert (vae.finalists_done, vae.finalists_failed) == (2, 1)


def test_where_its_machine_dies_those_that_have_not_ended_are_handed_out_again_as_one(conductor: Conductor) -> None:
    begin(conductor)
    end(conductor, FIRST[0])
    conductor.fail(FIRST[1], "the loss is not finite")
    conductor.died(FIRST, "machine", "preempted")
    assert begin(conductor) == FIRST[2:]


def test_all_go_together_again_where_none_has_ended(conductor: Conductor) -> None:
    for _ in range(3):
        assert begin(conductor) == FIRST
        conductor.died(FIRST, "machine", "preempted")


def test_after_the_death_of_its_process_each_goes_on_alone_so_that_one_alone_can_fail(conductor: Conductor) -> None:
    """`max_failures` is 1: a run that takes its process down each time must not take the others along twice."""
    begin(conductor)
    conductor.died(FIRST, "process", "SIGSEGV")
    for run in FIRST:
        assert begin(conductor) == [run]
        if run == FIRST[1]:
            conductor.died([run], "process", "SIGSEGV")
        else:
            end(conductor, run)
    [vae] = conductor.status()
    assert (vae.finalists_done, vae.finalists_failed) == (2, 1)


def test_a_storage_that_fails_counts_once(conductor: Conductor) -> None:
    for k in range(STORAGE_FAULTS):
        assert conductor.halted == "", k
        conductor.died(begin(conductor), "storage", "no such host")
    assert conductor.halted.startswith(f"{STORAGE_FAULTS} runs one after the other could not write")


@pytest.mark.parametrize("after_s", [29, 30])
def test_a_hang_is_told_from_a_death_by_the_last_of_all_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after_s: int
) -> None:
    """Three share a device, so that they have three times as long."""
    now = 0.0
    monkeypatch.setattr("genray.cluster.conductor.time.monotonic", lambda: now)
    sweep = Sweep.parse(TREE | {"trial_timeout_s": 10, "max_failures": 0})
    with folder.opened(tmp_path / "out", sweep) as storage:
        conductor = Conductor(sweep, storage, tmp_path / "out", lanes=1)
        conductor.complete(begin(conductor)[0], ROW)
        for run in begin(conductor):
            now += 9
            conductor.heard(run)
        now += after_s
        conductor.died(FIRST, "process", "SIGKILL")
        reasons = conductor._queues[0].failed_finalists.values()
        assert ["trial_timeout_s=10" in reason for reason in reasons] == [after_s == 30] * 3


def test_a_sweep_that_is_resumed_does_those_that_are_missing(conductor: Conductor) -> None:
    sweep, out = Sweep.parse(TREE), conductor.out
    begin(conductor)
    end(conductor, FIRST[0])
    conductor.fail(FIRST[2], "the loss is not finite")
    resumed = Conductor(sweep, conductor._queues[0].study._study._storage, out, lanes=1)
    assert begin(resumed) == ["vae/finalist_1", "vae/finalist_3"]


def test_how_many_train_as_one_may_change(tmp_path: Path) -> None:
    out, sweep = tmp_path / "out", Sweep.parse(TREE)
    with folder.opened(out, sweep):
        pass
    folder.check(out, Sweep.parse(TREE | {"finalists": {"seeds": 4}}), resume=True)
    with pytest.raises(UserError, match=r"differs in finalists\.seeds"):
        folder.check(out, Sweep.parse(TREE | {"finalists": {"seeds": 3, "pack": 3}}), resume=True)


def test_what_is_left_counts_a_pack_as_one_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four lanes. A trial takes 8 s, a pack of three 30 s: 10 s a finalist, and the one that is left has one lane."""
    now = 0.0
    monkeypatch.setattr("genray.cluster.conductor.time.monotonic", lambda: now)
    sweep = Sweep.parse(TREE | {"trials": 5})
    with folder.opened(tmp_path / "out", sweep) as storage:
        conductor = Conductor(sweep, storage, tmp_path / "out", lanes=4)
        for _ in range(5):
            [run] = begin(conductor)
            now += 8
            conductor.complete(run, ROW)
        assert conductor.seconds_left() == pytest.approx(4 * 8 / 2)
        assert begin(conductor) == FIRST
        now += 30
        for run in FIRST:
            end(conductor, run)
        assert conductor.seconds_left() == pytest.approx(10)


def test_trials_of_the_same_shapes_are_handed_out_as_one_and_others_take_their_places(tmp_path: Path) -> None:
    search = {"model.hidden": {"choice": [16, 24]}, "optimizer.learning_rate": {"loguniform": [1e-4, 1e-2]}}
    sweep = Sweep.parse(TREE | {"search": search, "optuna": {"sampler": "random"}, "trials": 12, "pack": 3})
    widths: dict[str, int] = {}
    with folder.opened(tmp_path / "out", sweep) as storage:
        conductor = Conductor(sweep, storage, tmp_path / "out", lanes=1)
        while len(widths) < 12:
            jobs = conductor.next()
            assert 1 <= len(jobs) <= 3
            pack = [job.run for job in jobs]
            while pack:
                widths |= {job.run: job.experiment.model.hidden for job in jobs}
                assert len({widths[run] for run in pack}) == 1
                assert conductor.at_work(list(widths)) == pack
                assert conductor.next() == [], "the lane is taken"
                conductor.complete(pack.pop(0), ROW)
                jobs = [job] if pack and (job := conductor.beside(pack[0])) else []
                pack += [job.run for job in jobs]
        assert sorted(widths) == [f"vae/trial_{number:04d}" for number in range(12)]
        assert set(widths.values()) == {16, 24}
        assert conductor.status()[0].complete == 12
        assert [job.finalist for job in conductor.next()] == [True] * 3
        assert conductor.beside("vae/finalist_0") is None
