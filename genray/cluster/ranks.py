"""A function on several processes at once, which torch.distributed connects. Whatever hangs ends at a set time."""

from __future__ import annotations

import contextlib
import datetime
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import ray
import torch.distributed
from ray.exceptions import GetTimeoutError
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from genray.device import pick_device
from genray.train.distributed import Distributed


class Rank:
    """One of the processes: an actor."""

    def address(self) -> str:
        """Where the others find it: a port that is free now."""
        ip = ray.util.get_node_ip_address()
        with socket.socket() as listener:
            listener.bind(("", 0))
            return f"tcp://{ip}:{listener.getsockname()[1]}"

    def run(
        self,
        function: Callable[..., Any],
        arguments: Sequence[Any],
        address: str,
        rank: int,
        world_size: int,
        gpu: float,
        timeout_s: float,
    ) -> Any:
        """`function(*arguments, at)`"""
        device = pick_device(gpu)
        torch.distributed.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            init_method=address,
            rank=rank,
            world_size=world_size,
            timeout=datetime.timedelta(seconds=timeout_s),
        )
        try:
            return function(*arguments, Distributed(device, rank, world_size))
        finally:
            torch.distributed.destroy_process_group()


@contextlib.contextmanager
def ranks(options: Sequence[Mapping[str, Any]]) -> Iterator[list[Any]]:
    """An actor for each of Ray's `options`, killed at the end."""
    actors = [ray.remote(Rank).options(**each).remote() for each in options]
    try:
        yield actors
    finally:
        for actor in actors:
            ray.kill(actor)


def together(
    actors: Sequence[Any], function: Callable[..., Any], *arguments: Any, gpu: float, timeout_s: float
) -> list[Any]:
    """What the function returns on each of them. Raises TimeoutError, and what one of them raised."""
    try:
        address = ray.get(actors[0].address.remote(), timeout=timeout_s)
        calls = [
            actor.run.remote(function, arguments, address, rank, len(actors), gpu, timeout_s)
            for rank, actor in enumerate(actors)
        ]
        results: list[Any] = ray.get(calls, timeout=timeout_s)
    except GetTimeoutError:
        raise TimeoutError(f"{len(actors)} processes have not found together in {timeout_s:g} s") from None
    return results


@contextlib.contextmanager
def packed(workers: int, cpu: float, gpu: float, timeout_s: float) -> Iterator[list[Any]]:
    """Actors of a run's own shape. Raises TimeoutError where there is no room for them in that time."""
    bundle = {"CPU": cpu} | ({"GPU": gpu} if gpu else {})
    group = placement_group([bundle] * workers)
    try:
        if not group.wait(timeout_s):
            raise TimeoutError(f"there was no room for {workers} x {bundle} in {timeout_s:g} s")
        place = [PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=k) for k in range(workers)]
        with ranks([{"num_cpus": cpu, "num_gpus": gpu, "scheduling_strategy": at} for at in place]) as actors:
            yield actors
    finally:
        remove_placement_group(group)
