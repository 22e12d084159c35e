"""Sweeps over a real Ray on this machine."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
import ray
import yaml
from optuna.trial import TrialState

from genray.cluster import environment
from genray.cluster.sweep import sweep
from genray.config import Experiment
from genray.data.spec import Dataset
from genray.errors import UserError
from genray.evaluation.judge import make_judge
from genray.extractors.trained import extractor_for
from genray.runs import open_run
from genray.space import Sweep

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]  # Ray and Tune warn of themselves

TREE: dict[str, Any] = {
    "experiment": {
        "dataset": "digits",
        "epochs": 4,
        "evaluate_every": 1,
        "checkpoint_every": 1,
        "metrics": ["frechet"],
    },
    "models": ["vae", "gan"],
    "search": {"model.hidden": {"choice": [16, 24]}, "optimizer.learning_rate": {"loguniform": [5e-4, 4e-3]}},
    "trials": 4,
    "scheduler": {"asha": {"grace_epochs": 1, "reduction": 2}},
    "finalists": {"seeds": 2},
}
LONG = TREE["experiment"] | {"epochs": 60, "evaluate_every": 5}


@pytest.fixture(scope="module", autouse=True)
def _ray() -> Iterator[None]:
    environment.prepare(None)
    from genray.cluster import resources

    with resources.connected(None, data_bytes=10_000_000, verbose=False):
        yield


def trials(out: Path, model: str = "vae") -> list[optuna.trial.FrozenTrial]:
    backend = optuna.storages.journal.JournalFileBackend(str(out / "study.journal"))
    return optuna.load_study(study_name=model, storage=optuna.storages.JournalStorage(backend)).get_trials()


def wait_until(true: Callable[[], bool], *, within_s: float = 300.0) -> None:
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def has_rows(run: Path, count: int) -> bool:
    return (run / "metrics.jsonl").exists() and (run / "metrics.jsonl").read_text().count("\n") >= count


def session() -> Path:
    """The folder where Ray of this machine keeps what is no result."""
    return Path(ray._private.worker._global_node.get_session_dir_path())


def test_a_sweep_ends_with_a_comparison_and_takes_more_trials(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    page = sweep(Sweep.parse(TREE), out=out)
    comparison = json.loads((page / "comparison.json").read_text())
    assert {row["model"]: len(row["seeds"]) for row in comparison["rows"]} == {"vae": 2, "gan": 2}
    for model in ("vae", "gan"):
        states = [trial.state for trial in trials(out, model)]
        assert len(states) == 4
        assert TrialState.COMPLETE in states
        assert set(states) <= {TrialState.COMPLETE, TrialState.PRUNED}
        for k in range(2):
            finalist = open_run(out / model / f"finalist_{k}")
            assert finalist.experiment.seed == k + 1
            assert finalist.result is not None
            assert finalist.result["test_reads"] == 1
        assert not (out / model / "trial_0000" / "result.json").exists()
    kept = [each for each in session().glob("artifacts/*/tune/*/*") if each.is_dir()]
    assert len(kept) <= 2  # of what each trial had, the last folder of a process remains
    written = {path: path.stat().st_mtime_ns for path in out.glob("*/trial_*/metrics.jsonl")}
    (out / "vae" / "finalist_0" / "experiment.yaml").write_text("model: {")
    sweep(Sweep.parse(TREE | {"trials": 5}), out=out, resume=True)
    words = (
        "vae/finalist_0 held another experiment, or one that cannot be read: it is kept as vae/replaced/finalist_0_0"
    )
    assert words in " ".join(capsys.readouterr().err.split())
    assert [len(trials(out, model)) for model in ("vae", "gan")] == [5, 5]
    assert {path: path.stat().st_mtime_ns for path in written} == written


def test_a_loss_that_is_not_finite_fails_its_trial_alone(tmp_path: Path) -> None:
    tree = TREE | {
        "models": ["vae"],
        "search": {"optimizer.learning_rate": {"choice": [1e-3, 1e30]}},
        "optuna": {"sampler": "grid"},
        "trials": None,
    }
    sweep(Sweep.parse(tree), out=tmp_path / "out")
    by_rate = {trial.params["optimizer.learning_rate"]: trial for trial in trials(tmp_path / "out")}
    assert by_rate[1e-3].state == TrialState.COMPLETE
    assert by_rate[1e30].state == TrialState.FAIL
    assert "not finite" in by_rate[1e30].user_attrs["reason"]


def kill_the_trial_of(run: Path, *, after_rows: int, number: int = signal.SIGKILL) -> None:
    wait_until(lambda: has_rows(run, after_rows))
    for process in psutil.Process().children(recursive=True):
        if "Trainable" in " ".join(process.cmdline()[:1]):
            process.send_signal(number)


@pytest.mark.parametrize("max_failures", [1, 0])
def test_a_process_that_dies_is_replaced_and_its_run_goes_on(tmp_path: Path, max_failures: int) -> None:
    """Of a fault of its own, as a library's crash is. Kills are below, and in test_kills.py."""
    out = tmp_path / "out"
    tree = TREE | {"models": ["vae"], "trials": 1, "experiment": LONG, "max_failures": max_failures, "lanes": 1}
    how = {"after_rows": 10, "number": signal.SIGSEGV}
    killer = threading.Thread(target=kill_the_trial_of, args=(out / "vae" / "trial_0000",), kwargs=how)
    killer.start()
    if max_failures:
        sweep(Sweep.parse(tree), out=out)
    else:
        with pytest.raises(UserError, match="vae"):  # nothing is left to compare
            sweep(Sweep.parse(tree), out=out)
    killer.join()
    [trial] = trials(out)
    assert trial.state == (TrialState.COMPLETE if max_failures else TrialState.FAIL)
    if max_failures:
        assert [row["epoch"] for row in open_run(out / "vae" / "trial_0000").history] == list(range(61))
    else:
        assert "process died once" in trial.user_attrs["reason"]


def test_a_run_that_hangs_is_ended_and_says_so(tmp_path: Path) -> None:
    """It reads its checkpoint, as after a death, from a pipe that nobody writes to: a disk that does not answer."""
    out = tmp_path / "out"
    run = out / "vae" / "trial_0000"
    checkpoint = run / "checkpoint" / "state.pt"

    def kill_and_block() -> None:
        kill_the_trial_of(run, after_rows=10)
        checkpoint.unlink()
        os.mkfifo(checkpoint)

    change = {"models": ["vae"], "trials": 1, "experiment": LONG, "lanes": 1, "trial_timeout_s": 8.0}
    killer = threading.Thread(target=kill_and_block)
    killer.start()
    with pytest.raises(UserError, match="vae"):
        sweep(Sweep.parse(TREE | change), out=out)
    killer.join()
    [trial] = trials(out)
    assert trial.state == TrialState.FAIL
    assert "died 2 times, the last time: it gave no row in trial_timeout_s=8" in trial.user_attrs["reason"]


def test_two_workers_train_as_one_does(tmp_path: Path, digits: Dataset) -> None:
    tree = TREE | {
        "models": ["vae"],
        "experiment": TREE["experiment"] | {"batch_size": 64},
        "search": {"model.hidden": {"choice": [16, 24]}},
        "optuna": {"sampler": "grid"},
        "trials": None,
        "scheduler": None,
        "finalists": {"seeds": 1},
    }
    histories = []
    for workers in (1, 2):
        out = tmp_path / str(workers)
        sweep(Sweep.parse(tree | {"experiment": tree["experiment"] | {"workers": workers}}), out=out)
        runs = [out / "vae" / name for name in ("trial_0000", "trial_0001", "finalist_0")]
        histories.append([row for run in runs for row in open_run(run).history])
    for one, two in zip(*histories, strict=True):
        for key in (key for key in one if key != "train_seconds"):
            assert two[key] == pytest.approx(one[key], rel=1e-5), key


def test_a_group_without_a_run_gives_its_room_back_and_is_made_anew(
    tmp_path: Path, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another lane's group may be waiting for that room."""
    from genray.cluster import group_lane
    from genray.cluster.place import SameFolder
    from genray.cluster.work import Shared, Task

    monkeypatch.setattr(group_lane, "IDLE_S", 0.5)
    tree = TREE["experiment"] | {"model": {"name": "vae", "hidden": 16}, "workers": 2, "resources": {"gpu": 0}}
    experiment = Experiment.parse(tree)
    judge = make_judge(extractor_for(digits.training_data), digits.validation, ("frechet",))
    shared = ray.put(Shared(SameFolder(tmp_path), digits.training_data, judge))
    lane = group_lane.GroupLane(shared, None, experiment, tmp_path / ".ray")
    try:
        for run in ("first", "second"):
            lane.start([Task(run, experiment, finalist=False)])
            events = [lane.next()]
            while not lane.ended:
                events.append(lane.next())
            assert [event.kind for event in events] == ["row"] * 4 + ["done"], events[-1]
            assert [row["epoch"] for row in open_run(tmp_path / run).history] == list(range(5))
            wait_until(lambda: ray.available_resources().get("CPU") == ray.cluster_resources()["CPU"])
    finally:
        lane.close()


@pytest.mark.parametrize(
    ("experiment", "words"),
    [
        ({"resources": {"cpu": 1000}}, "asks for 1 x (1000 CPU)"),
        ({"workers": 64}, "asks for 64 x (1 CPU)"),
        ({"resources": {"gpu": 64}}, "64 GPU"),
    ],
)
def test_what_this_machine_can_never_hold_is_refused(tmp_path: Path, experiment: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match="resources") as error:
        sweep(Sweep.parse(TREE | {"experiment": TREE["experiment"] | experiment}), out=tmp_path / "out")
    assert words in str(error.value)
    assert not (tmp_path / "out").exists()


def test_ctrl_c_and_a_kill_leave_no_process_and_the_sweep_goes_on(tmp_path: Path) -> None:
    space, out = tmp_path / "space.yaml", tmp_path / "out"
    tree = TREE | {"experiment": LONG, "scheduler": None}
    space.write_text(yaml.safe_dump(tree))

    def begin(*options: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "genray", "sweep", str(space), "--out", str(out), *options]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    started: list[psutil.Process] = []

    def end(driver: "subprocess.Popen[str]", number: int) -> str:
        started.extend(psutil.Process(driver.pid).children(recursive=True))
        os.kill(driver.pid, number)
        return driver.communicate(timeout=60)[0]

    def nothing_is_left() -> bool:
        return not any(process.is_running() for process in started)

    driver = begin()
    wait_until(lambda: has_rows(out / "gan" / "trial_0000", 20))
    said = end(driver, signal.SIGINT)
    wait_until(nothing_is_left, within_s=60)
    assert driver.returncode == 130
    assert "--resume" in said.splitlines()[-1]
    assert "Traceback" not in said

    driver = begin("--resume")
    wait_until(lambda: has_rows(out / "vae" / "trial_0001", 20))
    end(driver, signal.SIGKILL)
    finished = {
        path: path.stat().st_mtime_ns
        for model in ("vae", "gan")
        for trial in trials(out, model)
        if trial.state.is_finished()
        for path in [out / trial.user_attrs["run"] / "metrics.jsonl"]
    }
    assert finished

    sweep(Sweep.parse(tree), out=out, resume=True)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    for model in ("vae", "gan"):
        assert [trial.state for trial in trials(out, model)] == [TrialState.COMPLETE] * 4
        for path in sorted((out / model).glob("trial_*")):
            assert [row["epoch"] for row in open_run(path).history] == list(range(61))
    wait_until(nothing_is_left)  # two agents of Ray's try for about 70 s to tell the dead head that they end
