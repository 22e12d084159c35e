"""Run as a script: a cluster of several nodes on this machine, until its input ends. Says where it is, as JSON."""

import json
import sys
from collections.abc import Callable
from typing import TypeVar

from ray.cluster_utils import Cluster

T = TypeVar("T")
num_nodes = int(sys.argv[1])


def started(make: Callable[[], T]) -> T:
    """Ray gives a node 30 s to start, which a machine that is busy may not keep."""
    for _ in range(3):
        try:
            return make()
        except Exception as error:  # of no class of its own
            print(error, file=sys.stderr)
    return make()


HEAD = {"num_cpus": 0, "include_dashboard": True, "dashboard_port": 0}
cluster = started(lambda: Cluster(initialize_head=True, head_node_args=HEAD))
workers = [started(lambda: cluster.add_node(num_cpus=1)) for _ in range(num_nodes - 1)]


def raylet(node: object) -> int:
    return node.all_processes["raylet"][0].process.pid  # type: ignore[attr-defined,no-any-return]


print(
    json.dumps(
        {
            "address": cluster.address,
            "dashboard": cluster.head_node.address_info["webui_url"],
            "workers": [{"id": node.node_id, "raylet": raylet(node)} for node in workers],
        }
    ),
    flush=True,
)
sys.stdin.read()
cluster.shutdown()
