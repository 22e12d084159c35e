"""GPUs, memory, disks and the object store of each machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genray.cluster.capacity import WORKER_BYTES
from genray.cluster.checks.base import Check, Facts, each, fail, gigabytes, joined, ok, warn
from genray.cluster.resources import MARGIN_BYTES

FREE_BYTES = 5e9  # of scratch and of Ray's folder: checkpoints, logs, what the object store spills

Resources = Mapping[str, Mapping[str, float]]  # by the machine's name, what Ray counts there


def gpus(facts: Facts, resources: Resources) -> list[Check]:
    checks, shown = [], {}
    for node, fact in facts.items():
        counted, seen = int(resources[node].get("GPU", 0)), fact["gpus"]["seen"]
        names = ", ".join(sorted({gpu["name"] for gpu in seen}))
        shown[node] = f"{counted} GPU" + ("s" if counted != 1 else "") + (f" ({names})" if names else "")
        broken = [f"{gpu['name']}: {gpu['error']}" for gpu in seen if gpu["error"]]
        if fact["gpus"]["error"] or broken:
            found = f"a small kernel must run on each GPU, got on {node}: {fact['gpus']['error'] or joined(broken)}"
            checks.append(
                fail("gpus", found, "see `nvidia-smi` there; mend the driver, or install the torch build that fits it")
            )
        elif counted > len(seen):
            found = f"torch must see what Ray counts, got {counted} by Ray and {len(seen)} by torch on {node}"
            checks.append(
                fail("gpus", found, "install a CUDA build of torch there, or start Ray with the right --num-gpus")
            )
        elif counted < len(seen):
            found = f"Ray counts {counted} of the {len(seen)} GPUs that torch sees on {node}"
            checks.append(warn("gpus", found, "start Ray there with --num-gpus, if the others are not kept for others"))
    return checks or [ok("gpus", each(shown) + ("; a kernel runs on each" if _any(facts) else ""))]


def _any(facts: Facts) -> bool:
    return any(fact["gpus"]["seen"] for fact in facts.values())


def memory(facts: Facts) -> list[Check]:
    """Less than one process takes is of no use to a run."""
    known = {node: fact["memory"] for node, fact in facts.items() if fact["memory"]}
    shown = {n: f"{gigabytes(m['available'])} free of {gigabytes(m['total'])}" for n, m in known.items()}
    checks = [
        fail(
            "memory",
            f"a run takes {gigabytes(WORKER_BYTES)}, got {shown[node]} on {node}",
            "end what else runs there, or take a larger machine",
        )
        for node, memory in known.items()
        if memory["available"] < WORKER_BYTES
    ]
    return checks or [ok("memory", each(shown) if shown else "not known on this system")]


def disks(facts: Facts) -> list[Check]:
    shown = {n: ", ".join(f"{gigabytes(free)} in {p}" for p, free in f["free"].items()) for n, f in facts.items()}
    checks = []
    for node, fact in facts.items():
        for path, free in fact["free"].items():
            if free < FREE_BYTES:
                need = f"scratch and Ray's folder need {gigabytes(FREE_BYTES)} free"
                found = f"{need}, got {gigabytes(free)} in {path} on {node}"
                level = fail if free < FREE_BYTES / 5 else warn
                checks.append(level("disk", found, "free some, or set TMPDIR and Ray's --temp-dir to a larger disk"))
    return checks or [ok("disk", f"free: {each(shown)}")]


def object_store(facts: Facts, resources: Resources, need: int, what: str) -> list[Check]:
    """Each machine that works keeps a copy of the dataset in its object store, which lies in /dev/shm."""
    need = need + MARGIN_BYTES
    sizes = {node: int(resources[node].get("object_store_memory", 0)) for node in facts}
    checks: list[Check] = []
    for node, size in sizes.items():
        free: Any = facts[node]["shm"]
        if size < need:
            found = f"{what} needs {gigabytes(need)}, got {gigabytes(size)} on {node}"
            checks.append(fail("object store", found, f"start Ray there with --object-store-memory={need}"))
        elif free is not None and free < min(size, need):
            found = (
                f"the object store lies in /dev/shm, which has {gigabytes(free)} free for {gigabytes(need)} on {node}"
            )
            checks.append(
                fail(
                    "object store",
                    found,
                    "enlarge /dev/shm (a container: --shm-size, Kubernetes: an emptyDir of medium Memory)",
                )
            )
    shown = each({node: gigabytes(size) for node, size in sizes.items()})
    return checks or [ok("object store", f"{shown}; {what} needs {gigabytes(need)}")]
