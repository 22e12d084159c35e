"""A sweep on two machines that is kept on S3: the server is real, on loopback, and away for a while in the middle."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.cluster_utils import Cluster

import genray
from genray.runs import open_run
from genray.space import Sweep
from genray.storage import Bucket
from tests.s3 import Server, s3_environment

pytestmark = [pytest.mark.ray, pytest.mark.slow]

TREE: dict[str, Any] = {
    "name": "kept",
    "experiment": {"dataset": "digits", "epochs": 8, "evaluate_every": 2, "checkpoint_every": 2},
    "models": ["vae"],
    "search": {"model.hidden": {"int": [16, 32]}},
    "trials": 2,
    "optuna": {"sampler": "random"},
    "finalists": {"seeds": 2},
}


@pytest.fixture
def server() -> Iterator[Server]:
    with s3_environment(), Server() as server:
        yield server


def be_away(server: Server, bucket: Bucket, seconds: float) -> None:
    while "vae/trial_0000/metrics.jsonl" not in bucket.list("kept"):
        time.sleep(0.1)
    server.stop()
    time.sleep(seconds)
    server.start()


def test_a_sweep_is_kept_on_s3_and_goes_on_from_another_machine(
    tmp_path: Path, server: Server, cluster: Cluster
) -> None:
    url = server.new_bucket("runs")
    bucket = Bucket(url)
    outage = threading.Thread(target=be_away, args=(server, bucket, 6.0))
    outage.start()
    first = tmp_path / "first" / "kept"
    before = genray.sweep(Sweep.parse(TREE), out=first, address=cluster.address, storage=url)
    outage.join()
    assert before["rows"][0]["seeds"] == [1, 2]

    there = bucket.list("kept")
    for run in ("trial_0000", "trial_0001", "finalist_0", "finalist_1"):
        assert {f"vae/{run}/{name}" for name in ("metrics.jsonl", "checkpoint/state.pt", "samples.png")} <= there.keys()
        rows = [json.loads(line) for line in bucket.read(f"kept/vae/{run}/metrics.jsonl").splitlines()]
        assert [row["epoch"] for row in rows] == list(range(9)), run
    assert {"sweep.yaml", "study.journal", "comparison/index.html", "comparison/comparison.json"} <= there.keys()
    assert bucket.read("kept/comparison/index.html") == (first / "comparison/index.html").read_bytes()
    assert (first / "vae/finalist_0/checkpoint/state.pt").exists()
    assert genray.sample(first / "vae/finalist_0", 4).shape == (4, 1, 8, 8)

    second = tmp_path / "second" / "kept"
    with pytest.raises(genray.UserError, match="--resume"):
        genray.sweep(Sweep.parse(TREE), out=second, address=cluster.address, storage=url)
    after = genray.sweep(
        Sweep.parse(TREE | {"trials": 3}), out=second, address=cluster.address, storage=url, resume=True
    )
    assert after["rows"][0]["trials"] == 3
    for run in ("trial_0000", "trial_0001"):
        assert bucket.list(f"kept/vae/{run}") == {
            name.removeprefix(f"vae/{run}/"): stamp for name, stamp in there.items() if name.startswith(f"vae/{run}/")
        }, "what was finished is not touched"
    result = open_run(second / "vae/finalist_0").result
    assert result is not None
    assert result["test_reads"] == 1
