"""Ray on this machine, started and taken down with the sweep, or a cluster that is there; and what they can hold."""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import threading
import warnings
from collections.abc import Iterator, Mapping

import psutil  # type: ignore[import-untyped]  # Ray brings it
import ray
import torch

from genray.cluster import autoscaler, capacity
from genray.cluster.capacity import Growth
from genray.cluster.environment import resolve
from genray.config import Experiment, Resources
from genray.errors import Fault, UserError

MARGIN_BYTES = 300_000_000  # of the object store, beside the data
STARTS = 3  # Ray gives its processes 15 s. Beside other work, just after an installation, they took 25 s to load Python


@contextlib.contextmanager
def connected(address: str | None, *, data_bytes: int, verbose: bool) -> Iterator[None]:
    """Ray at `address`, at RAY_ADDRESS (as in `ray job submit`), or of this machine alone, which is taken down again.

    Where Ray is connected already, by the program that calls, it is used and left.
    """
    if ray.is_initialized():
        yield
        return
    address = resolve(address)
    level = logging.INFO if verbose else logging.ERROR
    options: dict[str, object] = {"logging_level": level, "log_to_driver": verbose, "namespace": "genray"}
    with _quiet(verbose):
        if address is None:
            _start(options | {"object_store_memory": data_bytes + MARGIN_BYTES})
        else:
            _connect(address, options)
    try:
        yield
    finally:
        ray.shutdown()


def _start(options: Mapping[str, object]) -> None:
    """Ray of this machine alone."""
    others = _own_processes()
    for left in reversed(range(STARTS)):
        try:
            ray.init(
                "local",
                num_gpus=1 if torch.backends.mps.is_available() else None,  # Apple's, which Ray does not count
                include_dashboard=False,
                **options,
            )
            return
        except Exception as error:  # Ray raises no class of its own here
            if "timed out during startup" not in str(error):
                raise
            for process in _own_processes() - others:  # Ray forgets them, and they would take the next try's time
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            if not left:
                raise Fault(
                    f"Ray must start its processes within 15 s, which it failed in {STARTS} tries; this machine is too "
                    f"busy, or /tmp/ray/session_latest/logs/raylet.err says why not: try again"
                ) from None


def _own_processes() -> set[psutil.Process]:
    """Of Ray, below this one."""
    found = set()
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if any(ray.__path__[0] in word for word in process.cmdline()):
                found.add(process)
    return found


@contextlib.contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """What a batch system sends before it kills ends the work as Ctrl-C does. Only the main thread may set signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: object) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in a shell script's background
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)  # which Tune may have a handler of its own for


def _connect(address: str, options: Mapping[str, object]) -> None:
    _knock(address)
    try:
        ray.init(address, **options)
    except RuntimeError as error:
        if "Version mismatch" in str(error):
            raise UserError(
                f"--address {address}: the cluster runs another version than this machine "
                f"({' '.join(str(error).split())}); install the cluster's here, or leave out --address"
            ) from None
        raise UserError(
            f"--address {address}: cannot connect to Ray: {_first_line(error)}; start Ray there, or leave it out"
        ) from None
    except (ConnectionError, ValueError) as error:
        raise UserError(
            f"--address {address}: no Ray cluster answers there: {_first_line(error)}; start Ray, or leave it out"
        ) from None


def _knock(address: str) -> None:
    """Ray itself tries for a quarter of an hour where nothing answers."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdecimal():
        return  # `auto`, which Ray looks up
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"--address {address}: nothing answers there ({error}); start Ray, or leave it out") from None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextlib.contextmanager
def _quiet(verbose: bool) -> Iterator[None]:
    if not verbose:
        for name in ("ray", "ray.tune", "ray.train", "ray.data"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what concerns a user is told by the sweep
    with warnings.catch_warnings():
        if not verbose:
            warnings.simplefilter("ignore")
        yield


def gpu_of(resources: Resources, workers: int) -> float:
    """GPUs of one worker: what is asked for, or one where the cluster has, or can come to, one for each worker."""
    if resources.gpu is not None:
        return resources.gpu
    return float(gpus() >= workers)


def gpus() -> float:
    """That the cluster has, or can come to."""
    growth = autoscaler.growth()
    return max(float(ray.cluster_resources().get("GPU", 0)), float(growth.amount("GPU")) if growth else 0.0)


def need_of(experiment: Experiment) -> dict[str, float]:
    """What one worker takes of a machine."""
    return {"CPU": experiment.resources.cpu, "GPU": gpu_of(experiment.resources, experiment.workers)}


def machines() -> list[dict[str, float]]:
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def can_grow() -> bool:
    """Whether machines may come while a sweep runs."""
    return autoscaler.growth() is not None


def count_lanes(experiment: Experiment, wanted: int | None) -> int:
    """How many runs of this shape are done at once: as many as there are CPUs, GPUs and memory for at the size that the
    cluster has or can grow to, or `wanted`, if CPUs and GPUs are enough.

    Raises UserError for a shape that will never find room, and where each GPU is taken by others now.
    """
    need, growth = need_of(experiment), autoscaler.growth()
    if capacity.rooms(need, machines(), growth, by_memory=False) < experiment.workers:
        raise UserError(_why_no_room(experiment, need, growth))
    if need["GPU"] and growth is None and not ray.available_resources().get("GPU", 0):
        raise UserError(
            f"resources.gpu: no GPU is free of the {ray.cluster_resources()['GPU']:g} there; "
            f"wait for the other job, or set experiment.resources.gpu to 0"
        )
    return recount_lanes(experiment, wanted)


def recount_lanes(experiment: Experiment, wanted: int | None) -> int:
    """The same later, when machines may have come and gone: at least one."""
    need, there, growth = need_of(experiment), machines(), autoscaler.growth()
    rooms = capacity.rooms(need, there, growth, by_memory=wanted is None)
    if wanted and growth and not growth.is_known:
        return wanted  # the cluster grows as far as it can, for as many as wait
    return max(1, min(rooms // experiment.workers, wanted or rooms))


def _why_no_room(experiment: Experiment, need: Mapping[str, float], growth: Growth | None) -> str:
    there = machines()
    has = ", ".join(f"{sum(machine.get(name, 0) for machine in there):g} {name}" for name in need)
    return (
        f"resources: a run asks for {experiment.workers} x ({amounts(need)}), and Ray has {has} on {len(there)} "
        f"machine{'s' if len(there) > 1 else ''}{_can_start(growth)}; lower experiment.workers or experiment.resources"
    )


def _can_start(growth: Growth | None) -> str:
    if growth is None:
        return ""
    types = ", ".join(
        f"{kind.most} {kind.name} of {amounts({name: kind.resources.get(name, 0.0) for name in ('CPU', 'GPU')})}"
        for kind in growth.types
    )
    return f", where its autoscaler starts at most {growth.most} more ({types})"


def amounts(need: Mapping[str, float]) -> str:
    """`1 CPU and 0.5 GPU`"""
    return " and ".join(f"{amount:g} {name}" for name, amount in need.items() if amount) or "nothing"
