"""A cluster that grows from no machine to three and shrinks again, by Ray's own autoscaler over a fake provider."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from genray.runs import open_run
from tests.cluster.autoscaled import Autoscaled, autoscaled

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1200)]  # a minute each where nothing else runs

VERSIONS = pytest.mark.parametrize(
    "v2",
    [
        pytest.param(True, id="autoscaler v2"),  # the default of `ray up`
        pytest.param(False, id="autoscaler v1", marks=pytest.mark.nightly),
    ],
)
TREE: dict[str, Any] = {
    "name": "grows",
    "experiment": {
        "dataset": "digits",
        "epochs": 60,
        "evaluate_every": 20,
        "checkpoint_every": 20,
        "metrics": ["frechet"],
    },
    "models": ["vae"],
    "search": {"model.hidden": {"choice": [16, 24]}},
    "optuna": {"sampler": "random"},
    "trials": 10,
    "scheduler": None,
    "finalists": {"seeds": 3},
}
WORKER = {"resources": {"CPU": 1, "object_store_memory": 100_000_000}, "max_workers": 3}


def written(folder: Path, tree: dict[str, Any]) -> str:
    path = folder / "space.yaml"
    path.write_text(yaml.safe_dump(tree))
    return str(path)


def wait_until(true: Callable[[], bool], within_s: float) -> None:
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.2)


@VERSIONS
def test_a_sweep_takes_machines_from_none_to_three_and_leaves_none(tmp_path: Path, v2: bool) -> None:
    out = tmp_path / "out"
    with autoscaled({"worker": WORKER}, max_workers=3, v2=v2) as cluster:
        assert cluster.look() == 0
        sweep = cluster.genray("sweep", written(tmp_path, TREE), "--out", str(out))
        while sweep.poll() is None:
            cluster.look()
            time.sleep(0.2)
        assert sweep.returncode == 0, sweep.communicate()[0]
        assert cluster.most == 3
        # and none on the head, which has no CPU; on a busy machine one may be idle for 6 s, and another takes its place
        assert len(cluster.trained) >= 3
        wait_until(lambda: cluster.look() == 0, within_s=90)
    assert cluster.most == 3
    runs = [*(f"trial_{i:04}" for i in range(10)), *(f"finalist_{k}" for k in range(3))]
    for run in runs:
        assert [row["epoch"] for row in open_run(out / "vae" / run).history] == list(range(61))


def refused(cluster: Autoscaled, tmp_path: Path, tree: dict[str, Any]) -> tuple[int, str]:
    sweep = cluster.genray("sweep", written(tmp_path, tree), "--out", str(tmp_path / "out"))
    said = sweep.communicate(timeout=180)[0]
    assert "Traceback" not in said
    return sweep.returncode, said.splitlines()[-1]


def test_what_no_machine_that_can_come_could_hold_is_refused_at_once(tmp_path: Path) -> None:
    with autoscaled({"worker": WORKER}, max_workers=3) as cluster:
        for change, words in (
            ({"resources": {"gpu": 1}}, "a run asks for 1 x (1 CPU and 1 GPU), and Ray has 0 CPU, 0 GPU on 1 machine"),
            ({"resources": {"cpu": 2}}, "where its autoscaler starts at most 3 more (3 worker of 1 CPU)"),
        ):
            code, line = refused(cluster, tmp_path, TREE | {"experiment": TREE["experiment"] | change})
            assert code == 2, line
            assert words in line
        assert cluster.look() == 0


@VERSIONS
def test_machines_that_never_come_are_waited_for_a_set_time(tmp_path: Path, v2: bool) -> None:
    types = {"worker": WORKER | {"resources": {"CPU": 1, "GPU": 1}}}
    provider = "tests.cluster.no_quota.NoQuota"
    tree = TREE | {"start_timeout_s": 15, "experiment": TREE["experiment"] | {"resources": {"gpu": 1}}}
    with autoscaled(types, max_workers=3, v2=v2, provider=provider) as cluster:
        code, line = refused(cluster, tmp_path, tree)
    assert code == 1, line
    assert "no machine had room for a run in 15 s: a run asks for 1 x (1 CPU and 1 GPU), Ray has 1 machine" in line
    assert "worker could not be started" in line
    assert ("monitor.log on the head says why" if v2 else "no quota") in line  # v2 does not hand on what it was told
    assert "the same command with --resume goes on" in line
