"""The machines of a cluster, each with a probe on it. Every question has an end: who is silent is named."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from genray.cluster.capacity import is_head
from genray.cluster.checks import probe
from genray.cluster.checks.base import Check, fail, joined, ok
from genray.cluster.tasks import reason

_FIX = (
    "look there whether its raylet runs and is not stopped (`ps -C raylet`), whether the head reaches its ports, and "
    "whether memory and disk are full; restart it by `ray stop && ray start --address=HEAD:6379`"
)


@dataclass(frozen=True)
class Node:
    name: str
    id: str
    ip: str
    is_head: bool
    resources: Mapping[str, float]


def alive() -> list[Node]:
    """The head first. Named by address, and by number too where a machine stands twice."""
    found = [node for node in ray.nodes() if node["Alive"]]
    ips = [node["NodeManagerAddress"] for node in found]
    nodes = []
    for node in sorted(found, key=lambda node: not is_head(node["Resources"])):
        ip, on_head = node["NodeManagerAddress"], is_head(node["Resources"])
        name = ip if ips.count(ip) == 1 else f"{ip}/{node['NodeID'][:6]}"
        nodes.append(Node(name + " (head)" * on_head, node["NodeID"], ip, on_head, node["Resources"]))
    return nodes


def at(node: Node) -> NodeAffinitySchedulingStrategy:
    return NodeAffinitySchedulingStrategy(node.id, soft=False)


def probes(nodes: Sequence[Node]) -> dict[str, Any]:
    """An actor on each, not waited for."""
    ray.cloudpickle.register_pickle_by_value(sys.modules[probe.__name__])
    try:
        actor = ray.remote(probe.Probe)
        return {
            node.name: actor.options(num_cpus=0, max_concurrency=4, scheduling_strategy=at(node)).remote()
            for node in nodes
        }
    finally:
        ray.cloudpickle.unregister_pickle_by_value(sys.modules[probe.__name__])


def ask(
    probes: Mapping[str, Any], method: str, *arguments: Any, timeout_s: float
) -> tuple[dict[str, Any], dict[str, str]]:
    """What each answers, and why the others do not."""
    return gather({name: getattr(actor, method).remote(*arguments) for name, actor in probes.items()}, timeout_s)


def gather(calls: Mapping[str, Any], timeout_s: float) -> tuple[dict[str, Any], dict[str, str]]:
    answers: dict[str, Any] = {}
    silent: dict[str, str] = {}
    if calls:
        ray.wait(list(calls.values()), num_returns=len(calls), timeout=timeout_s)
    for name, call in calls.items():
        try:
            answers[name] = ray.get(call, timeout=0.5)
        except GetTimeoutError:
            silent[name] = f"no answer in {timeout_s:g} s"
        except (RayError, OSError, ValueError, RuntimeError, ImportError) as error:  # the latter: of the remote side
            silent[name] = reason(error)[:300]
    return answers, silent


def check(nodes: Sequence[Node], silent: Mapping[str, str]) -> Check:
    answering = [node.name for node in nodes if node.name not in silent]
    if silent:
        found = "; ".join(f"{name}: {why}" for name, why in silent.items())
        return fail("nodes", f"each of {len(nodes)} must answer, got {len(answering)} ({found})", _FIX)
    return ok("nodes", f"{len(nodes)} of {len(nodes)} answer: {joined(answering)}")
