"""Clocks that agree, and machines that reach each other as training does: an all-reduce."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import ray
import torch
from ray.exceptions import RayError

from genray.cluster.checks.base import Check, fail, ok, warn
from genray.cluster.checks.nodes import Node, ask, at, gather
from genray.cluster.ranks import Rank, together
from genray.cluster.tasks import reason
from genray.train.distributed import Distributed

SKEW_S = 2.0
PINGS = 5
START_S = 40.0  # for processes that import torch
PAIR_S = 12.0  # for two of them to meet and to sum
PAIRS = 8
_FLOATS = 4_000_000  # 16 MB

_FIX = (
    "open all ports between the machines (security group, firewall), and where a machine has several networks, or "
    "its name stands for a loopback address in /etc/hosts, set GLOO_SOCKET_IFNAME (NCCL_SOCKET_IFNAME for GPUs) to "
    "the interface between them, eth0 for example, in the environment of `ray start`"
)


class Offset(NamedTuple):
    """Of a machine's clock from this one's, and how far off that may be: half of the round trip."""

    seconds: float
    error: float


def offsets(probes: Mapping[str, Any], timeout_s: float) -> tuple[dict[str, Offset], dict[str, str]]:
    """The quickest of some round trips to each."""
    found: dict[str, Offset] = {}
    silent: dict[str, str] = {}
    for name, actor in probes.items():
        for _ in range(PINGS):
            before = time.time()
            answers, why = ask({name: actor}, "clock", timeout_s=timeout_s)
            after = time.time()
            if why:
                silent |= why
                break
            offset = Offset(answers[name] - (before + after) / 2, (after - before) / 2)
            found[name] = min(found.get(name, offset), offset, key=lambda each: each.error)
    return found, silent


def clocks(found: Mapping[str, Offset]) -> Check:
    if not found:
        return fail("clocks", "no machine told its time", "see `nodes`")
    first = min(found, key=lambda node: found[node].seconds)
    last = max(found, key=lambda node: found[node].seconds)
    skew, error = found[last].seconds - found[first].seconds, found[last].error + found[first].error
    if skew - error > SKEW_S:
        return fail(
            "clocks",
            f"must agree to {SKEW_S:g} s, got {skew:.3f} ± {error:.3f} s from {first} to {last}",
            "switch time synchronization on there (`timedatectl set-ntp true`, or chrony)",
        )
    if len(found) == 1:
        return ok("clocks", "one machine")
    return ok("clocks", f"agree to {skew:.3f} ± {error:.3f} s")


class Sum(NamedTuple):
    """How an all-reduce went."""

    is_right: bool
    latency_s: float  # of one number
    bytes_per_s: float  # of 16 MB
    backend: str


def _sum(at: Distributed) -> Sum:
    expected = at.world_size * (at.world_size + 1) / 2
    many = torch.full((_FLOATS,), float(at.rank + 1), device=at.device)
    torch.distributed.all_reduce(many)  # connects
    is_right = bool((many == expected).all())
    latency = statistics.median(_seconds(torch.zeros(1, device=at.device)) for _ in range(20))
    whole = min(_seconds(many) for _ in range(3))
    return Sum(is_right, latency, 4 * _FLOATS / whole, torch.distributed.get_backend())


def _seconds(values: torch.Tensor) -> float:
    started = time.perf_counter()
    torch.distributed.all_reduce(values)
    values[0].item()  # waits for the device
    return time.perf_counter() - started


def all_reduce(nodes: Sequence[Node], seen: Mapping[str, int]) -> list[Check]:
    """Between the first machine and each of the others, or between two processes where there is one. `seen`: GPUs that
    torch sees on each."""
    places = list(nodes[:PAIRS]) if len(nodes) > 1 else [nodes[0], nodes[0]]
    need = 1 if len(nodes) > 1 else 2
    with_gpus = all(seen.get(n.name, 0) >= need and n.resources.get("GPU", 0) >= need for n in places)
    gpu, checks = float(with_gpus), []
    actors = _started(places, gpu)
    silent = _waited(actors)
    if silent and gpu:
        _kill(actors)
        checks.append(
            warn("all-reduce", "the GPUs are in use, so that NCCL was not tried", "try again when they are free")
        )
        gpu, actors = 0.0, _started(places, 0.0)
        silent = _waited(actors)
    try:
        if silent:
            why = "; ".join(f"{name}: {why}" for name, why in silent.items())
            return [*checks, fail("all-reduce", f"a process must start on each machine, got {why}", "see `nodes`")]
        return checks + _pairs(places, list(actors.values()), gpu)
    finally:
        _kill(actors)


def _started(places: Sequence[Node], gpu: float) -> dict[str, Any]:
    actor = ray.remote(Rank)
    return {
        f"{k}: {node.name}": actor.options(num_cpus=0, num_gpus=gpu, scheduling_strategy=at(node)).remote()
        for k, node in enumerate(places)
    }


def _waited(actors: Mapping[str, Any]) -> dict[str, str]:
    return gather({name: actor.address.remote() for name, actor in actors.items()}, START_S)[1]


def _kill(actors: Mapping[str, Any]) -> None:
    for actor in actors.values():
        ray.kill(actor)


def _pairs(places: Sequence[Node], actors: Sequence[Any], gpu: float) -> list[Check]:
    found: dict[str, Sum] = {}
    first, *others = places
    for node, actor in zip(others, actors[1:], strict=True):
        pair = f"{first.name} and {node.name}" if node is not first else f"two processes on {first.name}"
        try:
            sums: list[Sum] = together([actors[0], actor], _sum, gpu=gpu, timeout_s=PAIR_S)
        except (TimeoutError, RayError, RuntimeError, OSError, ValueError) as error:
            # the first one still waits for the other, so that no further pair can be tried
            return [fail("all-reduce", f"{pair} must sum a tensor in {PAIR_S:g} s, got {reason(error)[:200]}", _FIX)]
        if not all(each.is_right for each in sums):
            return [
                fail("all-reduce", f"the sum over {pair} must be right, got another", "check their memory and network")
            ]
        found[pair] = sums[0]
    return [ok("all-reduce", _words(found))]


def _words(found: Mapping[str, Sum]) -> str:
    slowest = min(found, key=lambda pair: found[pair].bytes_per_s)
    each = found[slowest]
    more = f", the slowest of {len(found)} pairs" if len(found) > 1 else ""
    return f"{each.backend} between {slowest}: {1e6 * each.latency_s:,.0f} µs, {each.bytes_per_s / 1e9:.2f} GB/s{more}"
