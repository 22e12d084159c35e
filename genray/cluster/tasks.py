"""Parts of a study as Ray tasks: one CPU each, on every machine that there is."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence

import ray
import torch
from ray.exceptions import RayError, RayTaskError

from genray.cluster.parts import Record
from genray.cluster.resources import WORKER_BYTES
from genray.errors import UserError
from genray.studies.base import Part

ATTEMPTS = 2  # of a part, before it has failed


def do(parts: Sequence[Part], keep: Callable[[Part, Record], object], tell: Callable[[str], object]) -> dict[str, str]:
    """Does the parts on the Ray that this process is connected to, hands each record to `keep` as soon as it is there,
    and returns why parts failed, by name. Raises UserError as soon as a part does.
    """
    task = ray.remote(_do).options(num_cpus=1, memory=_memory(), max_retries=0)
    running = {task.remote(part): part for part in parts}
    attempts, failed = Counter[str](), dict[str, str]()
    while running:
        [ended], _ = ray.wait(list(running), num_returns=1)
        part = running.pop(ended)
        attempts[part.name] += 1
        try:
            keep(part, ray.get(ended))
        except UserError as error:
            raise UserError(_reason(error)) from None
        except (RayError, ValueError, TypeError) as error:  # the last two: an outcome that JSON does not hold
            if attempts[part.name] < ATTEMPTS:
                tell(f"{part.name} failed and is tried again: {_reason(error)}")
                running[task.remote(part)] = part
            else:
                tell(f"{part.name} failed: {_reason(error)}")
                failed[part.name] = _reason(error)
    return failed


def _do(part: Part) -> Record:
    torch.set_num_threads(1)
    started = time.perf_counter()
    outcome = part.run(**part.arguments)
    return Record(outcome, round(time.perf_counter() - started, 3))


def _memory() -> float:
    """Bytes that a task asks for: what a process takes, so that a machine of many cores and little memory does few at
    once; but no more than every machine has."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return min([WORKER_BYTES, *(float(machine.get("memory", WORKER_BYTES)) for machine in machines)])


def _reason(error: BaseException) -> str:
    """`ValueError: the latent must be 2`, without the traceback that Ray makes the message."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    text = " ".join(str(cause).split()) or "its process died"
    return text if isinstance(cause, UserError | RayError) else f"{type(cause).__name__}: {text}"
