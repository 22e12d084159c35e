"""Runs that train as one, over a real Ray on this machine."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from genray.cluster import environment
from genray.cluster.conductor import Conductor
from genray.cluster.study import Job
from genray.cluster.sweep import sweep
from genray.runs import Run, open_run
from genray.space import Sweep
from tests.cluster.test_sweep import has_rows, wait_until

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]  # Ray and Tune warn of themselves

TREE: dict[str, Any] = {
    "experiment": {
        "dataset": "digits",
        "epochs": 6,
        "evaluate_every": 2,
        "checkpoint_every": 1,
        "batch_size": 64,
        "metrics": ["frechet", "elbo"],
    },
    "models": ["vae"],
    "search": {"model.hidden": {"choice": [16, 24]}},
    "optuna": {"sampler": "grid"},
    "finalists": {"seeds": 3, "pack": 3},
}


@pytest.fixture(scope="module", autouse=True)
def _ray() -> Iterator[None]:
    environment.prepare(None)
    from genray.cluster import resources

    with resources.connected(None, data_bytes=10_000_000, verbose=False):
        yield


def finalists(out: Path) -> list[Run]:
    return [open_run(out / "vae" / f"finalist_{k}") for k in range(3)]


def trial_processes() -> list[psutil.Process]:
    return [p for p in psutil.Process().children(recursive=True) if "Trainable" in " ".join(p.cmdline()[:1])]


def test_seeds_that_train_as_one_score_as_they_do_alone(tmp_path: Path) -> None:
    outs = [tmp_path / "packed", tmp_path / "alone"]
    for out, pack in zip(outs, (3, 1), strict=True):
        sweep(Sweep.parse(TREE | {"finalists": {"seeds": 3, "pack": pack}}), out=out)
    for packed, alone in zip(*map(finalists, outs), strict=True):
        assert not packed.experiment.differences(alone.experiment)
        assert packed.result is not None
        assert alone.result is not None
        assert packed.result["metrics"] == pytest.approx(alone.result["metrics"], rel=1e-3)
        assert packed.result["test_reads"] == 1
        for row, other in zip(packed.history, alone.history, strict=True):
            assert row | {"train_seconds": 0} == pytest.approx(other | {"train_seconds": 0}, rel=1e-3)
    scores = {json.dumps(run.result["metrics"]) for run in finalists(outs[0]) if run.result}
    assert len(scores) == 3, "each seed is a run of its own"


def test_a_process_that_dies_hands_back_all_its_runs(tmp_path: Path) -> None:
    out, epochs = tmp_path / "out", 40
    change = {"experiment": TREE["experiment"] | {"epochs": epochs, "evaluate_every": 4}, "lanes": 1}
    ended: list[Path] = []
    killed = []

    def kill() -> None:
        wait_until(lambda: all(has_rows(out / "vae" / f"finalist_{k}", 8) for k in range(3)))
        ended.extend(out.glob("vae/finalist_*/result.json"))
        for process in trial_processes():
            process.kill()
            killed.append(process.pid)

    killer = threading.Thread(target=kill)
    killer.start()
    sweep(Sweep.parse(TREE | change), out=out)
    killer.join()
    assert (len(killed), ended) == (1, [])
    for run in finalists(out):
        assert [row["epoch"] for row in run.history] == list(range(epochs + 1))
        assert run.result is not None
        assert run.result["test_reads"] == 1


def test_ctrl_c_in_the_middle_and_what_has_ended_is_not_done_again(tmp_path: Path) -> None:
    out, space = tmp_path / "out", tmp_path / "space.yaml"
    tree = TREE | {"experiment": TREE["experiment"] | {"epochs": 40, "evaluate_every": 4}}
    space.write_text(yaml.safe_dump(tree))
    command = [sys.executable, "-m", "genray", "sweep", str(space), "--out", str(out)]
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: all(has_rows(out / "vae" / f"finalist_{k}", 8) for k in range(3)))
    driver.send_signal(signal.SIGINT)
    assert driver.wait(timeout=60) == 130
    assert not list(out.glob("vae/finalist_*/result.json"))

    sweep(Sweep.parse(tree), out=out, resume=True)
    for run in finalists(out):
        assert [row["epoch"] for row in run.history] == list(range(41))
    results = [run.result_path for run in finalists(out)]
    before = [path.read_text() for path in results]
    written = results[2].stat().st_mtime_ns
    for path in results[:2]:
        path.unlink()
    sweep(Sweep.parse(tree), out=out, resume=True)
    assert [json.loads(path.read_text())["metrics"] for path in results] == [json.loads(t)["metrics"] for t in before]
    assert results[2].stat().st_mtime_ns == written


def test_trials_that_train_as_one_are_those_of_a_sweep_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ASHA stops some of a pack, others take their places, and each goes through the rows that it has alone."""
    change = {
        "experiment": TREE["experiment"] | {"epochs": 9, "evaluate_every": 1},
        "search": {"model.hidden": {"choice": [16, 24]}, "optimizer.learning_rate": {"loguniform": [1e-4, 1e-2]}},
        "optuna": {"sampler": "random", "seed": 3},
        "trials": 10,
        "scheduler": {"asha": {"grace_epochs": 1, "reduction": 3}},
        "finalists": {"seeds": 1},
        "lanes": 1,
    }
    handed_out, joined = [], []
    next_, beside = Conductor.next, Conductor.beside

    def noted(self: Conductor) -> list[Job]:
        handed_out.append(len(jobs := next_(self)))
        return jobs

    def noted_beside(self: Conductor, run: str) -> Job | None:
        joined.append(job := beside(self, run))
        return job

    monkeypatch.setattr(Conductor, "next", noted)
    monkeypatch.setattr(Conductor, "beside", noted_beside)
    outs = [tmp_path / "packed", tmp_path / "alone"]
    for out, pack in zip(outs, (3, 1), strict=True):
        sweep(Sweep.parse(TREE | change | {"pack": pack}), out=out)
        if pack > 1:
            assert max(handed_out) == 3
            assert any(joined)
            handed_out.clear()
            joined.clear()
    assert max(handed_out) == 1
    assert not any(joined)
    lengths = []
    for number in range(10):
        packed, alone = (open_run(out / "vae" / f"trial_{number:04d}") for out in outs)
        assert not packed.experiment.differences(alone.experiment)
        rows = list(zip(packed.history, alone.history, strict=False))
        for row, other in rows:
            assert row | {"train_seconds": 0} == pytest.approx(other | {"train_seconds": 0}, rel=2e-3)
        lengths.append(len(packed.history))
    assert min(lengths) < 10 <= max(lengths), "some were stopped, and some were not"
    assert open_run(outs[0] / "vae" / "finalist_0").result is not None
