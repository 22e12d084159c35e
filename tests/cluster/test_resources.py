import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from genray.config import Experiment, Resources
from genray.errors import Fault

if TYPE_CHECKING:
    from genray.cluster.capacity import Growth

pytestmark = pytest.mark.ray  # imports it


@pytest.mark.parametrize(
    ("cpu", "gpu", "node", "rooms"),
    [
        (1, 0, {"CPU": 8.0}, 8),
        (2, 0, {"CPU": 7.0}, 3),
        (0.5, 0, {"CPU": 2.0}, 4),
        (1, 0.25, {"CPU": 8.0, "GPU": 1.0}, 4),
        (1, 0.4, {"CPU": 8.0, "GPU": 2.0}, 4),  # two on each: a run lies on one GPU
        (1, 2, {"CPU": 8.0, "GPU": 3.0}, 1),
        (1, 1, {"CPU": 8.0}, 0),
        (0.1, 0, {"CPU": 1.0}, 10),
    ],
)
def test_room_for_counts_whole_runs(cpu: float, gpu: float, node: dict[str, float], rooms: int) -> None:
    from genray.cluster.capacity import room_for

    assert room_for({"CPU": cpu, "GPU": gpu}, node) == rooms


def test_an_address_where_no_cluster_answers_is_refused_in_one_line() -> None:
    from genray.cluster.resources import connected
    from genray.errors import UserError

    with pytest.raises(UserError, match="--address") as error, connected("127.0.0.1:1", data_bytes=0, verbose=False):
        pass
    assert "\n" not in str(error.value)


SLOW_ONCE = """
import os, sys, time
if any(word.endswith("dashboard/agent.py") for word in sys.orig_argv):
    try:
        os.close(os.open({there!r}, os.O_CREAT | os.O_EXCL))
        time.sleep(25)
    except FileExistsError:
        pass
"""
START = """
from genray.cluster import environment
environment.prepare(None)
from genray.cluster import resources
with resources.connected(None, data_bytes=0, verbose=False):
    print(len(resources.machines()))
"""


@pytest.mark.slow
@pytest.mark.nightly
def test_a_ray_whose_processes_start_slowly_is_started_again(tmp_path: Path) -> None:
    """More slowly than the 15 s that Ray waits for them, once."""
    (tmp_path / "sitecustomize.py").write_text(SLOW_ONCE.format(there=str(tmp_path / "slow")))
    path = os.pathsep.join([str(tmp_path), *sys.path])
    command = [sys.executable, "-c", START]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=300)
    assert (tmp_path / "slow").exists()
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


@pytest.mark.parametrize(
    ("failures", "reason", "raised"),
    [
        (2, "The current node timed out during startup.", None),
        (3, "The current node timed out during startup.", Fault),
        (1, "something else", RuntimeError),
    ],
)
def test_ray_is_started_three_times_at_most_where_it_says_that_time_was_short(
    monkeypatch: pytest.MonkeyPatch, failures: int, reason: str, raised: type[Exception] | None
) -> None:
    import ray

    from genray.cluster import resources

    tries, begun = [RuntimeError(reason)] * failures, list[subprocess.Popen[bytes]]()
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    other = subprocess.Popen(command)

    def init(*_: object, **__: object) -> None:
        begun.append(subprocess.Popen([*command, f"{ray.__path__[0]}/core/src/ray/raylet/raylet"]))
        if tries:
            raise tries.pop()

    for name, value in (("init", init), ("shutdown", lambda: None), ("is_initialized", lambda: False)):
        monkeypatch.setattr(resources.ray, name, value)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    ends = pytest.raises(raised) if raised else contextlib.nullcontext()
    with ends, resources.connected(None, data_bytes=0, verbose=False):
        pass
    assert not tries
    try:
        assert other.poll() is None
        left = begun[-1:] if raised is None or raised is RuntimeError else []
        for process in begun:
            if process not in left:
                assert process.wait(30) == -signal.SIGKILL, "it would take the next try's time"
    finally:
        for process in (other, *begun):
            process.kill()
            process.wait()


class Cluster:
    """Stands in for ray: two machines of 8 CPUs and 2 GPUs."""

    def __init__(self, free_gpus: float, memory: float = 64e9) -> None:
        self._free_gpus, self._memory = free_gpus, memory

    def nodes(self) -> list[dict[str, object]]:
        return [{"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0, "memory": self._memory}}] * 2

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 16.0, "GPU": 4.0}

    def available_resources(self) -> dict[str, float]:
        return {"CPU": 16.0} | ({"GPU": self._free_gpus} if self._free_gpus else {})


@pytest.mark.parametrize(
    ("workers", "cpu", "gpu", "wanted", "lanes"),
    [
        (1, 1, 0, None, 16),
        (1, 1, 0, 3, 3),
        (1, 1, 0, 99, 16),
        (3, 2, 0, None, 2),
        (1, 1, 0.5, None, 8),
        (4, 1, 1, None, 1),
    ],
)
def test_lanes_fill_the_cluster(
    monkeypatch: pytest.MonkeyPatch, workers: int, cpu: float, gpu: float, wanted: int | None, lanes: int
) -> None:
    from genray.cluster import resources

    connect(monkeypatch, Cluster(free_gpus=4))
    assert resources.count_lanes(experiment(workers, cpu, gpu), wanted) == lanes


def test_lanes_that_memory_is_too_small_for_are_left_out_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from genray.cluster import resources

    connect(monkeypatch, Cluster(free_gpus=4, memory=3e9))
    assert resources.count_lanes(experiment(workers=1, cpu=1, gpu=0), None) == 4
    assert resources.count_lanes(experiment(workers=1, cpu=1, gpu=0), 6) == 6


def test_what_no_machine_can_hold_is_refused_unless_the_cluster_can_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    from genray.cluster import resources
    from genray.errors import UserError

    connect(monkeypatch, Cluster(free_gpus=4))
    with pytest.raises(UserError, match=r"5 x .1 CPU and 1 GPU., and Ray has 16 CPU, 4 GPU on 2 machines; lower"):
        resources.count_lanes(experiment(workers=5, cpu=1, gpu=1), None)
    connect(monkeypatch, Cluster(free_gpus=0), autoscaler_of({"CPU": 8, "GPU": 2}, most=4))
    assert resources.count_lanes(experiment(workers=5, cpu=1, gpu=1), None) == 1
    with pytest.raises(UserError, match=r"on 2 machines, where its autoscaler starts at most 4 more .4 w of 8 CPU and"):
        resources.count_lanes(experiment(workers=10, cpu=1, gpu=1), None)


def test_gpus_are_those_that_the_cluster_has_or_can_come_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """What asks for less than it could have would never make an autoscaler start one."""
    from genray.cluster import resources

    connect(monkeypatch, Cluster(free_gpus=0))
    assert resources.gpus() == 4
    connect(monkeypatch, Cluster(free_gpus=0), autoscaler_of({"CPU": 8, "GPU": 2}, most=4))
    assert resources.gpus() == 8


def test_lanes_are_those_of_the_size_that_the_cluster_can_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    from genray.cluster import resources

    connect(monkeypatch, Cluster(free_gpus=4), autoscaler_of({"CPU": 8, "GPU": 2}, most=4))
    assert resources.count_lanes(experiment(workers=1, cpu=1, gpu=1), None) == 8
    assert resources.count_lanes(experiment(workers=1, cpu=1, gpu=1), 5) == 5
    connect(monkeypatch, Cluster(free_gpus=4), autoscaler_of({"CPU": 8, "GPU": 2, "memory": 3e9}, most=4))
    assert resources.count_lanes(experiment(workers=1, cpu=1, gpu=0), None) == 16  # the two that are there have more


def test_where_the_limits_are_unknown_the_cluster_grows_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    from genray.cluster import resources
    from genray.cluster.autoscaler import UNKNOWN

    connect(monkeypatch, Cluster(free_gpus=4), UNKNOWN)
    assert resources.count_lanes(experiment(workers=1, cpu=1, gpu=0), None) == 32
    assert resources.count_lanes(experiment(workers=1, cpu=1, gpu=0), 100) == 100
    assert resources.count_lanes(experiment(workers=1, cpu=9, gpu=0), None) == 1


@pytest.mark.parametrize(
    ("asked", "workers", "gpus"), [(None, 1, 1), (None, 4, 1), (None, 5, 0), (0, 1, 0), (0.25, 9, 0.25)]
)
def test_a_worker_takes_a_gpu_where_there_is_one_for_each(
    monkeypatch: pytest.MonkeyPatch, asked: float | None, workers: int, gpus: float
) -> None:
    from genray.cluster import resources

    connect(monkeypatch, Cluster(free_gpus=4))
    assert resources.gpu_of(Resources(gpu=asked), workers) == gpus


def test_gpus_that_others_hold_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from genray.cluster import resources
    from genray.errors import UserError

    connect(monkeypatch, Cluster(free_gpus=0))
    with pytest.raises(UserError, match="no GPU is free of the 4 there"):
        resources.count_lanes(experiment(workers=1, cpu=1, gpu=0.5), None)


def test_a_cluster_of_another_version_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from genray.cluster import resources
    from genray.errors import UserError

    def init(*args: object, **options: object) -> None:
        raise RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.9.0\n    Python: 3.11.7\n")

    monkeypatch.setattr(resources.ray, "init", init)
    with (
        pytest.raises(UserError, match=r"another version .* Ray: 2.9.0") as error,
        resources.connected("auto", data_bytes=0, verbose=False),
    ):
        pass
    assert "\n" not in str(error.value)


def connect(monkeypatch: pytest.MonkeyPatch, cluster: Cluster, growth: "Growth | None" = None) -> None:
    from genray.cluster import resources

    monkeypatch.setattr(resources, "ray", cluster)
    monkeypatch.setattr(resources.autoscaler, "growth", lambda: growth)


def autoscaler_of(resources: dict[str, float], most: int) -> "Growth":
    from genray.cluster.capacity import Growth, NodeType

    return Growth((NodeType("w", resources, 0, most),), most)


def experiment(workers: int, cpu: float, gpu: float) -> Experiment:
    return Experiment.parse(
        {"model": {"name": "vae"}, "batch_size": 120, "workers": workers, "resources": {"cpu": cpu, "gpu": gpu}}
    )
