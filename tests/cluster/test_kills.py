"""Kills of trial processes, machines and drivers, in the middle of a sweep, change nothing in its table."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
import yaml
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from ray.cluster_utils import Cluster

from genray.runs import open_run
from tests.cluster.conftest import add_machine

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1500)]

SEVEN = {"process": 3, "segfault": 1, "machine": 2, "driver": 1}
TWENTY = {"process": 9, "segfault": 2, "machine": 5, "driver": 4}
EPOCHS = 24
SEED = int(os.environ.get("GENRAY_KILLS_SEED", "0"))  # another seed kills others at other times
TREE: dict[str, Any] = {
    "name": "kills",
    "experiment": {"dataset": "digits", "epochs": EPOCHS, "evaluate_every": 6, "checkpoint_every": 3, "batch_size": 32},
    "models": ["vae", "gan"],
    "search": {"model.hidden": {"int": [16, 64]}, "optimizer.learning_rate": {"loguniform": [3e-4, 3e-3]}},
    "optuna": {"sampler": "random", "seed": 3},
    "finalists": {"seeds": 2},
    "max_failures": 20,
}


class Sweep:
    """`genray sweep` in a process of its own, which is begun again where it was killed."""

    def __init__(self, space: Path, out: Path, address: str) -> None:
        self._command = [sys.executable, "-m", "genray", "sweep", str(space), "--out", str(out), "--address", address]
        self._log = out.with_suffix(".log")
        self._started = out / "sweep.yaml"
        self.process = self._begin()

    def _begin(self) -> subprocess.Popen[bytes]:
        resume = ["--resume"] if self._started.exists() else []
        with self._log.open("ab") as log:
            return subprocess.Popen([*self._command, *resume], stdout=log, stderr=log)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process = self._begin()

    @property
    def said(self) -> str:
        return self._log.read_text()


def trial_processes(cluster: Cluster) -> list[psutil.Process]:
    """Of this cluster alone: other tests may have theirs on the machine."""
    raylets = [node.all_processes["raylet"][0].process.pid for node in cluster.worker_nodes]
    found = []
    for pid in raylets:
        for process in psutil.Process(pid).children(recursive=True):
            try:
                if "Trainable" in " ".join(process.cmdline()[:1]):  # ray::ResourceTrainable.train
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
    return found


def harass(sweep: Sweep, cluster: Cluster, kills: dict[str, int], rng: random.Random) -> Counter[str]:
    """Kills until each kind had its share, or the sweep is over."""
    plan = [kind for kind, count in kills.items() for _ in range(count)]
    rng.shuffle(plan)
    done = Counter[str]()
    while plan and sweep.process.poll() is None:
        time.sleep(rng.uniform(0.3, 2.5))
        victims = trial_processes(cluster)
        if not victims:
            continue  # what was killed last has not recovered yet
        kind = plan.pop()
        if kind == "process":
            rng.choice(victims).send_signal(signal.SIGKILL)
        elif kind == "segfault":
            rng.choice(victims).send_signal(signal.SIGSEGV)
        elif kind == "machine":
            cluster.remove_node(
                rng.choice(sorted(cluster.worker_nodes, key=lambda node: node.unique_id)), allow_graceful=False
            )
            add_machine(cluster)
        else:
            sweep.kill()
        done[kind] += 1
    return done


def trials(out: Path, model: str) -> list[optuna.trial.FrozenTrial]:
    storage = JournalStorage(JournalFileBackend(str(out / "study.journal")))
    return optuna.load_study(study_name=model, storage=storage).trials


def table(out: Path) -> dict[str, Any]:
    """What the comparison says, without what is measured in seconds."""
    comparison = json.loads((out / "comparison" / "comparison.json").read_text())
    rows = {
        row["model"]: {key: row[key] for key in ("seeds", "trials", "config", "metrics")} for row in comparison["rows"]
    }
    return rows | {"floor": comparison["floor"]}


def histories(out: Path) -> dict[str, list[dict[str, float]]]:
    return {
        path.parent.relative_to(out).as_posix(): [
            {key: value for key, value in row.items() if key != "train_seconds"}
            for row in open_run(path.parent).history
        ]
        for path in sorted(out.glob("*/*/metrics.jsonl"))
    }


@pytest.mark.parametrize(
    ("kills", "num_trials"),
    [pytest.param(SEVEN, 4, id="seven"), pytest.param(TWENTY, 12, id="twenty", marks=pytest.mark.nightly)],
)
def test_kills_change_nothing(tmp_path: Path, cluster: Cluster, kills: dict[str, int], num_trials: int) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(yaml.safe_dump(TREE | {"trials": num_trials}))
    undisturbed, harassed = tmp_path / "undisturbed", tmp_path / "harassed"

    sweep = Sweep(space, undisturbed, cluster.address)
    assert sweep.process.wait(timeout=600) == 0, sweep.said

    sweep = Sweep(space, harassed, cluster.address)
    killed = harass(sweep, cluster, kills, random.Random(SEED))
    assert sweep.process.wait(timeout=600) == 0, sweep.said
    assert killed == kills

    assert table(harassed) == table(undisturbed)
    assert histories(harassed) == histories(undisturbed)
    for run, rows in histories(harassed).items():
        assert [row["epoch"] for row in rows] == list(range(EPOCHS + 1)), run
    for model in TREE["models"]:
        found = trials(harassed, model)
        assert [trial.state for trial in found] == [TrialState.COMPLETE] * num_trials
        assert [trial.params for trial in found] == [trial.params for trial in trials(undisturbed, model)]
        for k in range(2):
            result = open_run(harassed / model / f"finalist_{k}").result
            assert result is not None
            assert result["test_reads"] == 1
