"""Where a single run of several workers works, without Ray: its group is played by one process."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import ray

from genray.cluster import group, group_lane, place
from genray.cluster.lane import Event
from genray.cluster.work import Shared, Task
from genray.config import Experiment
from genray.runs import create_run
from genray.storage import Disk


class Played:
    """A group of one worker that writes a row where its place says."""

    worked_in: Path

    def __init__(self, shared: Shared, *_: object) -> None:
        self._place = shared.place

    def start(self, tasks: Sequence[Task]) -> None:
        self._run = tasks[0].run

    def next(self) -> Event:
        with self._place.open(self._run) as (path, _):
            assert (path / "experiment.yaml").exists()
            (path / "metrics.jsonl").write_text("1\n")
            type(self).worked_in = path
        return Event("done", self._run)

    def close(self) -> None: ...


@pytest.mark.parametrize("address", [None, "10.0.0.1:6379"])
def test_on_machines_of_a_cluster_a_run_works_on_their_disks_and_its_files_come_back(
    address: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the path that it has here, another machine would write what nobody finds."""
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("GENRAY_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if address:
        monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setattr(ray, "nodes", lambda: ["this"])
    monkeypatch.setattr(ray, "put", lambda value: value)
    monkeypatch.setattr(place.resources, "can_grow", lambda: False)
    monkeypatch.setattr(place, "DriverDisk", Disk)
    monkeypatch.setattr(group_lane, "GroupLane", Played)
    monkeypatch.chdir(tmp_path)
    experiment = Experiment.parse({"model": {"name": "vae"}, "workers": 2, "resources": {"gpu": 0}})
    run = create_run(Path("runs/mine"), experiment)
    given: Any = type("Judge", (), {"extractor": None})()
    monkeypatch.setattr("genray.cluster.carried.carry", lambda extractor: None)
    group.train(run, given, given, lambda row: True)
    here = tmp_path / "runs/mine"
    assert (here / "metrics.jsonl").read_text() == "1\n"
    assert Played.worked_in.is_relative_to(tmp_path / "scratch" if address else here)
