"""Machines that die in the middle of a sweep, as a spot machine does that is taken away: no farewell, no last write."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from ray.cluster_utils import Cluster
from ray.util import placement_group_table

import genray
from genray import checkpoint
from genray.cluster.place import MARKS
from genray.errors import Fault
from genray.runs import open_run
from genray.space import Sweep
from tests.cluster.conftest import add_machine

pytestmark = [pytest.mark.ray, pytest.mark.slow]

EPOCHS, EVERY = 120, 5
TREE: dict[str, Any] = {
    "name": "faults",
    "experiment": {
        "dataset": "digits",
        "epochs": EPOCHS,
        "evaluate_every": EVERY,
        "checkpoint_every": EVERY,
        "metrics": ["frechet"],
        "batch_size": 64,
    },
    "models": ["vae"],
    "search": {"model.hidden": {"choice": [16]}},
    "optuna": {"sampler": "random"},
    "trials": 1,
    "scheduler": None,
    "finalists": {"seeds": 1},
    "max_failures": 0,  # the death of a machine is no failure of the run
}


def rows_of(run: Path) -> list[str]:
    path = run / "metrics.jsonl"
    return path.read_text().splitlines() if path.exists() else []


def epoch_kept(run: Path) -> int:
    """Of the checkpoint, which comes after the rows that it goes on from: a machine may die between the two."""
    if not (run / "checkpoint").exists():
        return 0
    state = checkpoint.latest(open_run(run).checkpoint_path)
    return 0 if state is None else int(state["epoch"])


def machines_at(cluster: Cluster, process: str) -> list[Any]:
    """Machines on which processes of that name are at work."""
    found = []
    for node in sorted(cluster.worker_nodes, key=lambda node: str(node.unique_id)):
        raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
        for child in raylet.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if child.cmdline()[:1] and process in child.cmdline()[0]:
                    found.append(node)
                    break
    return found


class Killer(threading.Thread):
    """Ends a machine on which the first trial is at work, once it was kept; remembers what had been kept by then."""

    def __init__(self, cluster: Cluster, run: Path, process: str, then: Callable[[], object] = lambda: None) -> None:
        super().__init__(daemon=True)
        self._cluster, self._run, self._process, self._then = cluster, run, process, then
        self.kept: list[str] = []

    def run(self) -> None:
        while epoch_kept(self._run) < 2 * EVERY:
            time.sleep(0.02)
        while not (victims := machines_at(self._cluster, self._process)):
            time.sleep(0.02)
        self._cluster.remove_node(victims[0], allow_graceful=False)
        self.kept = rows_of(self._run)[: epoch_kept(self._run) + 1]
        self._then()


def assert_whole(run: Path, kept: list[str]) -> None:
    """Every epoch is there once, and what was kept when the machine died was not trained again."""
    assert [row["epoch"] for row in open_run(run).history] == list(range(EPOCHS + 1))
    assert 2 * EVERY < len(kept) < EPOCHS, "it died in the middle"
    assert rows_of(run)[: len(kept)] == kept  # `train_seconds` too, which no second training repeats


@pytest.mark.parametrize("storage", [None, "shared"])  # the driver's disk; and a folder that all machines see
def test_a_run_whose_machine_dies_goes_on_from_its_checkpoint_on_another(
    tmp_path: Path, cluster: Cluster, storage: str | None
) -> None:
    out = tmp_path / "out"
    killer = Killer(cluster, out / "vae" / "trial_0000", "Trainable")
    killer.start()
    comparison = genray.sweep(Sweep.parse(TREE), out=out, address=cluster.address, storage=storage)
    killer.join()
    assert comparison["rows"][0]["seeds"] == [1]
    assert_whole(out / "vae" / "trial_0000", killer.kept)
    assert (out / MARKS / "vae" / "trial_0000").exists() == (storage == "shared")


def test_a_group_of_workers_that_loses_a_machine_is_made_anew(tmp_path: Path, cluster: Cluster) -> None:
    """And leaves nothing behind that would keep the next group waiting: a second sweep in the same Ray."""
    add_machine(cluster)
    tree = TREE | {"experiment": TREE["experiment"] | {"workers": 2}}
    out = tmp_path / "first"
    killer = Killer(cluster, out / "vae" / "trial_0000", "RayTrainWorker")
    killer.start()
    genray.sweep(Sweep.parse(tree), out=out, address=cluster.address)
    killer.join()
    assert_whole(out / "vae" / "trial_0000", killer.kept)
    assert held(cluster) == []

    second = tmp_path / "second"
    short = tree | {"experiment": tree["experiment"] | {"epochs": EVERY}}
    genray.sweep(Sweep.parse(short), out=second, address=cluster.address)
    assert open_run(second / "vae" / "finalist_0").result is not None
    assert held(cluster) == []


def held(cluster: Cluster, within_s: float = 30.0) -> list[dict[str, Any]]:
    """Room that is still held for somebody, once those who gave it back have had the time."""
    ray.init(cluster.address, logging_level="ERROR", log_to_driver=False)
    try:
        end = time.monotonic() + within_s
        while groups := [group for group in placement_group_table().values() if group["state"] != "REMOVED"]:
            if time.monotonic() > end:
                break
            time.sleep(0.5)
        return groups
    finally:
        ray.shutdown()


def test_a_sweep_that_loses_all_machines_ends_after_a_set_time_and_goes_on_later(
    tmp_path: Path, cluster: Cluster
) -> None:
    out = tmp_path / "out"
    tree = TREE | {"start_timeout_s": 12}

    def end_the_others() -> None:
        for node in list(cluster.worker_nodes):
            cluster.remove_node(node, allow_graceful=False)

    killer = Killer(cluster, out / "vae" / "trial_0000", "Trainable", then=end_the_others)
    killer.start()
    with pytest.raises(Fault, match=r"no machine had room for a run in 12 s: a run asks for 1 x .1 CPU.") as error:
        genray.sweep(Sweep.parse(tree), out=out, address=cluster.address)
    killer.join()
    assert "Ray has 1 machine" in str(error.value)
    assert "--resume" in str(error.value)
    assert "\n" not in str(error.value)

    add_machine(cluster)
    genray.sweep(Sweep.parse(tree), out=out, address=cluster.address, resume=True)
    assert_whole(out / "vae" / "trial_0000", killer.kept)
    assert json.loads(rows_of(out / "vae" / "trial_0000")[-1])["epoch"] == EPOCHS
