"""How many workers a cluster has room for at the size that it can reach."""

import contextlib
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
import yaml

from genray.cluster.capacity import Growth, NodeType, rooms

HEAD = {"node:__internal_head__": 1.0, "memory": 8e9}  # without CPUs: it does not train


def kinds(*of: NodeType, most: int) -> Growth:
    return Growth(of, most)


CPU = NodeType("cpu", {"CPU": 4}, 0, 3)
GPU = NodeType("gpu", {"CPU": 8, "GPU": 2}, 0, 4)


@pytest.mark.parametrize(
    ("need", "growth", "expected"),
    [
        ({"CPU": 1}, kinds(CPU, most=3), 12),
        ({"CPU": 1}, kinds(CPU, most=2), 8),  # all types together
        ({"CPU": 1}, kinds(CPU, GPU, most=5), 4 * 8 + 4),
        ({"CPU": 1, "GPU": 1}, kinds(CPU, GPU, most=5), 8),
        ({"CPU": 1, "GPU": 0.4}, kinds(CPU, GPU, most=5), 4 * 2 * 2),  # a fraction lies on one GPU
        ({"CPU": 1, "GPU": 3}, kinds(CPU, GPU, most=5), 0),  # on one machine, not spread over two
        ({"CPU": 5}, kinds(CPU, most=3), 0),
    ],
)
def test_rooms_of_an_empty_cluster_are_those_of_the_machines_that_can_come(
    need: dict[str, float], growth: Growth, expected: int
) -> None:
    assert rooms(need, [HEAD], None, by_memory=True) == 0
    assert rooms(need, [HEAD], growth, by_memory=True) == expected


def test_rooms_are_the_most_over_all_mixtures_of_machines() -> None:
    types = (
        NodeType("a", {"CPU": 2}, 1, 3),
        NodeType("b", {"CPU": 5}, 0, 2),
        NodeType("c", {"CPU": 3}, 2, 2),
    )
    for most in range(3, 8):
        mixtures = product(*(range(kind.least, kind.most + 1) for kind in types))
        best = max(
            sum(n * int(kind.resources["CPU"]) for n, kind in zip(numbers, types, strict=True))
            for numbers in mixtures
            if sum(numbers) <= most
        )
        assert rooms({"CPU": 1}, [HEAD], Growth(types, most), by_memory=False) == best


def test_machines_that_are_there_count_at_least_for_what_they_have() -> None:
    by_hand = {"CPU": 64.0}
    assert rooms({"CPU": 1}, [HEAD, by_hand], kinds(CPU, most=3), by_memory=False) == 64
    training_head = HEAD | {"CPU": 2.0}
    assert rooms({"CPU": 1}, [training_head, {"CPU": 4.0}], kinds(CPU, most=3), by_memory=False) == 2 + 12


def test_memory_bounds_rooms_where_it_is_known() -> None:
    small = NodeType("small", {"CPU": 8, "memory": 3e9}, 0, 2)
    assert rooms({"CPU": 1}, [HEAD], kinds(small, most=2), by_memory=True) == 4
    assert rooms({"CPU": 1}, [HEAD], kinds(small, most=2), by_memory=False) == 16


def test_machines_of_unknown_size_may_hold_a_run_until_all_are_there() -> None:
    unknown = kinds(NodeType("local", {}, 0, 2), most=2)
    need = {"CPU": 1, "GPU": 1}
    assert rooms(need, [HEAD], unknown, by_memory=False) == 1
    assert rooms(need, [HEAD, {"CPU": 4.0}], unknown, by_memory=False) == 1
    assert rooms(need, [HEAD, {"CPU": 4.0}, {"CPU": 4.0}], unknown, by_memory=False) == 0


@pytest.mark.ray  # imports it
def test_limits_are_read_from_a_clusters_yaml() -> None:
    from genray.cluster.autoscaler import parse

    tree = {
        "max_workers": 5,
        "head_node_type": "head",
        "available_node_types": {
            "head": {"resources": {"CPU": 0}, "node_config": {}},
            "gpu": {"resources": {"CPU": 8, "GPU": 1}, "node_config": {}, "max_workers": 4},
            "cpu": {"resources": {"CPU": 4}, "node_config": {}, "min_workers": 1},
        },
    }
    found = parse(tree)
    assert found == Growth((NodeType("gpu", {"CPU": 8, "GPU": 1}, 0, 4), NodeType("cpu", {"CPU": 4}, 1, 5)), 5)
    assert found.amount("GPU") == 4
    assert not parse({"available_node_types": {"local": {"resources": {}}}, "max_workers": 2}).is_known


@pytest.mark.ray
def test_the_autoscalers_process_is_told_from_the_monitor_of_logs(tmp_path: Path) -> None:
    from genray.cluster.autoscaler import _read

    config = tmp_path / "cluster.yaml"
    config.write_text("max_workers: 7")
    address = "--gcs-address=192.0.2.1:6379"
    sleeps = [sys.executable, "-c", "import time; time.sleep(60)"]
    with contextlib.ExitStack() as stack:
        for arguments in (  # the numbers of processes begin again at some point: each may stand first
            ("/ray/log_monitor.py", address),
            ("/ray/autoscaler/monitor.py", address, f"--autoscaling-config={config}"),
            ("/ray/log_monitor.py", address),
        ):
            process = stack.enter_context(subprocess.Popen([*sleeps, *arguments]))
            stack.callback(process.kill)
        assert _read("192.0.2.1:6379") == (True, {"max_workers": 7})


@pytest.mark.ray
@pytest.mark.parametrize("name", ["cluster.yaml", "launch/gcp.yaml"])
def test_the_clouds_files_say_how_far_they_grow(name: str) -> None:
    from genray.cluster.autoscaler import parse

    tree = yaml.safe_load((Path(__file__).parents[2] / name).read_text())
    assert parse(tree).most == tree["max_workers"] == 4
