"""What Ray's autoscaler can start, and what it is about to: nothing of Ray's public API tells a driver.

`ray.cluster_resources()` knows machines that are there, and what Ray's state has for the limits of a cluster
(`get_max_resources_from_cluster_config`) is filled by no autoscaler that Ray 2.60 comes with. But its monitor, a
process on the head, has the path of its configuration among its arguments; in Kubernetes it runs beside the head, out
of sight, and is known by what it writes to Ray's state alone.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants
from ray.autoscaler.v2.sdk import get_cluster_status
from ray.autoscaler.v2.utils import is_autoscaler_v2
from ray.experimental.internal_kv import _internal_kv_get

from genray.cluster.capacity import HEAD, Growth, NodeType, is_head
from genray.files import read_yaml

UNKNOWN = Growth((), sys.maxsize)
_STANDS_FOR_NO_TYPE = "node_"  # how Ray names the types of machines that it did not start: node_<its id>


def growth() -> Growth | None:
    """How far the cluster that this process is connected to can grow; None where nothing starts machines for it."""
    context = ray.get_runtime_context()
    return _growth(context.gcs_address, context.get_node_id(), context.get_job_id())


@lru_cache(maxsize=1)
def _growth(address: str, node: str, job: str) -> Growth | None:
    """Once a connection, which the last two are of."""
    if _on_head():
        seen, tree = _read(address)
    else:
        read = ray.remote(num_cpus=0, resources={HEAD: 0.001})(_read)
        seen, tree = ray.get(read.remote(address))
    if tree is not None:
        return parse(tree)
    return UNKNOWN if not seen and _types_in_use() else None


def parse(tree: Mapping[str, Any]) -> Growth:
    """The limits in a cluster's YAML, with Ray's defaults: a type that says none has the cluster's."""
    types: Mapping[str, Any] = tree.get("available_node_types") or {}
    most = int(tree.get("max_workers", sys.maxsize))
    found = []
    for name, kind in types.items():
        only_head = name == tree.get("head_node_type") and len(types) > 1
        resources = {key: float(value) for key, value in (kind.get("resources") or {}).items()}
        most_of_it = int(kind.get("max_workers", 0 if only_head else most))
        if most_of_it:
            found.append(NodeType(name, resources, int(kind.get("min_workers", 0)), most_of_it))
    return Growth(tuple(found), min(most, sum(kind.most for kind in found)))


def _on_head() -> bool:
    here = ray.get_runtime_context().get_node_id()
    return any(node["NodeID"] == here and is_head(node["Resources"]) for node in ray.nodes())


def _read(address: str) -> tuple[bool, dict[str, Any] | None]:
    """On the head: whether the autoscaler of the Ray at that address runs here, and its configuration, if any."""
    import psutil  # type: ignore[import-untyped]  # Ray brings it

    for process in psutil.process_iter(["cmdline"]):  # by number, which may begin again: log_monitor.py can stand first
        command = process.info["cmdline"] or ()
        if f"--gcs-address={address}" in command and any(part.endswith("/monitor.py") for part in command):
            for part in command:
                if part.startswith("--autoscaling-config="):
                    return True, read_yaml(Path(part.partition("=")[2]).expanduser())
            return True, None
    return False, None


def _types_in_use() -> list[str]:
    """Names of the types of machines there, where an autoscaler out of sight tells them."""
    if is_autoscaler_v2(fetch_from_server=True):
        status = get_cluster_status(ray.get_runtime_context().gcs_address)
        types = [node.ray_node_type_name for node in (*status.active_nodes, *status.idle_nodes)]
    else:
        types = list(_report().get("active_nodes") or ())
    return [name for name in types if name and not name.startswith(_STANDS_FOR_NO_TYPE)]


def _report() -> dict[str, Any]:
    """What the first version of the autoscaler writes about itself."""
    told = _internal_kv_get(ray_constants.DEBUG_AUTOSCALING_STATUS)
    return (json.loads(told).get("autoscaler_report") or {}) if told else {}


def told() -> str:
    """What the autoscaler is about to start and could not, `2 gpu_worker are starting; gpu_worker: no such quota`."""
    if is_autoscaler_v2(fetch_from_server=True):
        status = get_cluster_status(ray.get_runtime_context().gcs_address)
        starting = Counter(node.ray_node_type_name for node in status.pending_nodes)
        for launch in status.pending_launches:
            starting[launch.ray_node_type_name] += launch.count
        failed = {launch.ray_node_type_name: _why(launch.details or "") for launch in status.failed_launches}
        return _words(starting, failed)
    report = _report()
    starting = Counter(report.get("pending_launches") or {})
    starting.update(kind for _, kind, _ in report.get("pending_nodes") or ())
    failed = {kind: "a machine of it failed" for _, kind in report.get("failed_nodes") or ()}
    availability = (report.get("node_availability_summary") or {}).get("node_availabilities") or {}
    for kind, found in availability.items():
        if why := found.get("unavailable_node_information"):
            failed[kind] = f"{why['category']}: {why['description']}"
    return _words(starting, failed)


def _why(details: str) -> str:
    """`Failed to launch 2 nodes of type gpu with request id 3f1c: no quota`, of which the end is often left empty."""
    return details.rpartition(": ")[2].strip() or "monitor.log on the head says why"


def _words(starting: Mapping[str, int], failed: Mapping[str, str]) -> str:
    words = [f"{number} {kind} starting" for kind, number in starting.items() if number]
    words += [f"{kind} could not be started ({' '.join(why.split())[:200]})" for kind, why in failed.items()]
    return ", ".join(words) or "no machine is starting"
