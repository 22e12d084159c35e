"""Ray on this machine, started and taken down with the sweep, or a cluster that is there; and what they can hold."""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence

import ray
import torch

from genray.cluster.environment import resolve
from genray.config import Experiment, Resources
from genray.errors import UserError

WORKER_BYTES = 1_200_000_000  # 1.07e9 resident, measured on Linux with torch 2.15's CUDA build: most is torch itself
MARGIN_BYTES = 300_000_000  # of the object store, beside the data


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
    options = {"logging_level": level, "log_to_driver": verbose, "namespace": "genray"}
    with _quiet(verbose):
        if address is None:
            ray.init(
                "local",
                num_gpus=1 if torch.backends.mps.is_available() else None,  # Apple's, which Ray does not count
                include_dashboard=False,
                object_store_memory=data_bytes + MARGIN_BYTES,
                **options,
            )
        else:
            _connect(address, options)
    try:
        yield
    finally:
        ray.shutdown()


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
        raise UserError(f"--address {address}: cannot connect to Ray: {_first_line(error)}") from None
    except (ConnectionError, ValueError) as error:
        raise UserError(f"--address {address}: no Ray cluster answers there: {_first_line(error)}") from None


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
    """GPUs of one worker: what is asked for, or one where Ray has one for each worker."""
    if resources.gpu is not None:
        return resources.gpu
    return float(ray.cluster_resources().get("GPU", 0) >= workers)


def count_lanes(experiment: Experiment, wanted: int | None) -> int:
    """How many runs of this shape are done at once: as many as there are CPUs, GPUs and memory for, or `wanted`, if
    CPUs and GPUs are enough.

    Raises UserError for a shape that will never find room, and where each GPU is taken by others now.
    """
    need = {"CPU": experiment.resources.cpu, "GPU": gpu_of(experiment.resources, experiment.workers)}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    rooms = sum(room_for(need, node) for node in nodes)
    most = rooms // experiment.workers
    if most == 0 and not _can_grow(need, experiment.workers):
        raise UserError(_why_no_room(experiment, need, nodes))
    if need["GPU"] and most and not ray.available_resources().get("GPU", 0):
        raise UserError(
            f"resources.gpu: no GPU is free of the {sum(node.get('GPU', 0) for node in nodes):g} there; "
            f"wait for the other job, or set experiment.resources.gpu to 0"
        )
    return min(max(most, 1), wanted or max(min(most, _fit_memory(nodes) // experiment.workers), 1))


def _fit_memory(nodes: Sequence[Mapping[str, float]]) -> int:
    """How many worker processes the memory is enough for: on a laptop of many cores, fewer than cores."""
    return sum(int(node.get("memory", 1e12) // WORKER_BYTES) for node in nodes)


def room_for(need: Mapping[str, float], node: Mapping[str, float]) -> int:
    """How many workers of that need a node has room for. A fraction of a GPU lies on one GPU: 0.4 fits it twice."""
    rooms = []
    for name, amount in need.items():
        if amount:
            has = node.get(name, 0.0)
            whole = amount >= 1 or name == "CPU"
            rooms.append(int(has / amount + 1e-9) if whole else int(has) * int(1 / amount + 1e-9))
    return min(rooms)


def _can_grow(need: Mapping[str, float], workers: int) -> bool:
    """Whether an autoscaling cluster says that it can reach that size."""
    limits = ray._private.state.state.get_max_resources_from_cluster_config() or {}
    return bool(limits) and all(limits.get(name, 0) >= amount * workers for name, amount in need.items() if amount)


def _why_no_room(experiment: Experiment, need: Mapping[str, float], nodes: Sequence[Mapping[str, float]]) -> str:
    asked = " and ".join(f"{amount:g} {name}" for name, amount in need.items() if amount)
    has = ", ".join(f"{sum(node.get(name, 0) for node in nodes):g} {name}" for name in need)
    return (
        f"resources: a run asks for {experiment.workers} x ({asked}), and Ray has {has} on {len(nodes)} "
        f"machine{'s' if len(nodes) > 1 else ''}; lower experiment.workers or experiment.resources"
    )
