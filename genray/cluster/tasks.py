"""Parts of a study as Ray tasks: one CPU each, and of a GPU what a part asks for, on every machine that there is.

A part that is long sends the states that it can go on from, which the driver keeps: machines need no disk in common.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import ray
import torch
from ray.exceptions import RayError, RayTaskError

from genray import provenance
from genray.cluster import resources
from genray.cluster.capacity import WORKER_BYTES
from genray.cluster.parts import Begun, Record
from genray.errors import UserError
from genray.studies.base import Part

ATTEMPTS = 2  # of a part, before it has failed


def do(
    parts: Sequence[Part],
    begun: Mapping[str, Begun],
    keep: Callable[[Part, Begun | Record], object],
    tell: Callable[[str], object],
    *,
    seconds: float | None = None,
) -> dict[str, str]:
    """Does the parts in their order, from where they had `begun`, on the Ray that this process is connected to. Hands
    what comes of them to `keep` as soon as it is there, and returns why parts failed, by name. Raises UserError as soon
    as a part does. After `seconds` it leaves what is not done.
    """
    latest, failed, attempts = dict(begun), dict[str, str](), Counter[str]()
    end = math.inf if seconds is None else time.monotonic() + seconds
    waiting, running = deque(parts), dict[Any, Part]()

    def begin() -> None:
        while waiting and len(running) < _at_once() and time.monotonic() < end:
            part = waiting.popleft()
            running[_begin(part, latest.get(part.name))] = part

    begin()
    while running and (news := _news(list(running), end)):
        part = running[news]
        try:
            found: Begun | Record = ray.get(next(news))
            keep(part, found)
            if isinstance(found, Begun):
                latest[part.name] = found
                del attempts[part.name]  # it gets on
            else:
                del running[news]
        except UserError as error:
            raise UserError(reason(error)) from None
        except (RayError, ValueError, TypeError) as error:  # the last two: an outcome that JSON does not hold
            del running[news]
            attempts[part.name] += 1
            if attempts[part.name] < ATTEMPTS:
                tell(f"{part.name} failed and is tried again: {reason(error)}")
                waiting.appendleft(part)
            else:
                tell(f"{part.name} failed: {reason(error)}")
                failed[part.name] = reason(error)
        begin()
    for left in running:
        ray.cancel(left, force=True)
    return failed


def _at_once() -> float:
    """Tasks that are handed to Ray at once: it keeps no order among those that wait. A cluster that can grow is to see
    all that wait."""
    return math.inf if resources.can_grow() else max(1.0, ray.cluster_resources().get("CPU", 0.0))


def _begin(part: Part, begun: Begun | None) -> Any:
    """A task that gives one result after the other."""
    gpus = min(part.gpu, resources.gpus())
    task = ray.remote(num_cpus=1, num_gpus=gpus, memory=_memory(), max_retries=0, num_returns="streaming")(_do)
    return task.remote(part, begun)


def _news(running: list[Any], end: float) -> Any:
    """One of the tasks from which there is something to hear, or None where there was nothing until `end`."""
    left = max(0.0, end - time.monotonic())
    ready, _ = ray.wait(running, num_returns=1, timeout=None if left == math.inf else left)
    return ready[0] if ready else None


def _do(part: Part, begun: Begun | None) -> Iterator[Begun | Record]:
    torch.set_num_threads(1)
    started = time.perf_counter() - (begun.seconds if begun else 0.0)
    pieces = part.pieces(begun.saved.state if begun else None)
    while True:
        try:
            saved = next(pieces)
        except StopIteration as end:
            yield Record(end.value, _since(started), provenance.made_with())
            return
        yield Begun(saved, _since(started))


def _since(started: float) -> float:
    return round(time.perf_counter() - started, 3)


def _memory() -> float:
    """Bytes that a task asks for: what a process takes, so that a machine of many cores and little memory does few at
    once; but no more than every machine has."""
    return min([WORKER_BYTES, *(float(machine.get("memory", WORKER_BYTES)) for machine in resources.machines())])


def reason(error: BaseException) -> str:
    """`ValueError: the latent must be 2`, without the traceback that Ray makes the message."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    text = " ".join(str(cause).split()) or "its process died"
    return text if isinstance(cause, UserError | RayError) else f"{type(cause).__name__}: {text}"
