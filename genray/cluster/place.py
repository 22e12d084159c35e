"""Where a run works, and how what it writes comes to where the sweep is kept."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import stat
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import ray
from ray.exceptions import RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from genray import checkpoint, files
from genray.claim import Claim, Turn
from genray.cluster import resources
from genray.cluster.environment import resolve
from genray.cluster.mirror import SHARED, bucket_of
from genray.errors import Fault, UserError
from genray.storage import Disk, Stamp, Storage, patiently, pull, push

CONCURRENT = 8  # transfers to the driver's disk at once
MARKS = ".owners"  # a folder beside those of the runs, which are their own
ENOUGH_BYTES = 256 * 1024**2  # of free disk, for a run to begin there
SCRATCH = "scratch-"  # begins the names of the folders that are made for runs, and that are cleared away


class Workspace(NamedTuple):
    """The folder that a run writes to, and what is called when its files should be safe."""

    path: Path
    keep: Callable[[], None]


Opened = contextlib.AbstractContextManager[Workspace]


class Place(ABC):
    """Can be pickled: every process of a sweep is given it."""

    @abstractmethod
    def open(self, run: str, *, rank: int = 0, turn: Turn | None = None) -> Opened:
        """The run's folder, with what was kept of it before. Rank 0 writes, the others read. Kept again at the end.
        Raises Superseded where the run was given out again after that `turn`."""

    @abstractmethod
    def set_aside(self, run: str, to: str) -> None:
        """Renames a run, for the driver."""


class SameFolder(Place):
    """The sweep's folder has the same path wherever a run works: nothing is sent."""

    def __init__(self, out: Path) -> None:
        self._out = out

    @contextlib.contextmanager
    def open(self, run: str, *, rank: int = 0, turn: Turn | None = None) -> Iterator[Workspace]:
        yield Workspace(self._out / run, lambda: None)

    def set_aside(self, run: str, to: str) -> None:
        Disk(self._out).move(run, to)


class SharedFolder(SameFolder):
    """The same on machines of which one may be cut off, and come back when its run was given to another. It finds that
    out after the checkpoint that it writes next, or at the run's end: until then both write."""

    @contextlib.contextmanager
    def open(self, run: str, *, rank: int = 0, turn: Turn | None = None) -> Iterator[Workspace]:
        claim = Claim(Disk(self._out / MARKS), run, turn) if rank == 0 else None
        with super().open(run, rank=rank) as (path, _):
            keep = claim.check if claim else lambda: None
            yield Workspace(path, keep)
            keep()


class Elsewhere(Place):
    """A run works on its machine's disk. After each checkpoint, and at its end, its files go to the storage."""

    def __init__(self, storage: Storage, prefix: str) -> None:
        self._storage, self._prefix = storage, prefix

    @contextlib.contextmanager
    def open(self, run: str, *, rank: int = 0, turn: Turn | None = None) -> Iterator[Workspace]:
        kept = f"{self._prefix}/{run}"
        with scratch() as folder:
            claim = Claim(self._storage, kept, turn) if rank == 0 else None
            pull(self._storage, kept, folder, {})
            sent: dict[str, Stamp] = {}

            def keep() -> None:
                nonlocal sent
                if claim is not None:
                    claim.check()
                    sent = push(folder, self._storage, kept, sent, _is_sent)

            try:
                yield Workspace(folder, keep)
            except (Fault, UserError):  # the end of the run, not of the machine: how it came to it is kept
                keep()
                raise
            keep()

    def set_aside(self, run: str, to: str) -> None:
        patiently(lambda: self._storage.move(f"{self._prefix}/{run}", f"{self._prefix}/{to}"))


def _is_sent(name: str) -> bool:
    """The checkpoint before the last guards against this machine's disk; a storage guards what it holds itself."""
    return not name.endswith(f"/{checkpoint.BEFORE}")


class Mirrored(Elsewhere):
    """In object storage, and in the driver's folder what `mirror` brings there."""

    def __init__(self, storage: Storage, out: Path) -> None:
        super().__init__(storage, out.name)
        self._out = out

    def set_aside(self, run: str, to: str) -> None:
        super().set_aside(run, to)
        Disk(self._out).move(run, to)


def place_for(out: Path, storage: str | None, *, alone: bool) -> Place:
    """For the driver of a sweep in the folder `out`, once it is connected to Ray; `alone` as by `is_alone`."""
    if (bucket := bucket_of(storage)) is not None:
        return Mirrored(bucket, out)
    if alone:
        return SameFolder(out)
    if storage == SHARED:
        return SharedFolder(out)
    return Elsewhere(DriverDisk(out.parent), out.name)


def is_alone(address: str | None) -> bool:
    """Whether Ray is this machine's alone, and stays so: others may join one that has an address."""
    return resolve(address) is None and len(ray.nodes()) == 1 and not resources.can_grow()


class DriverDisk(Storage):
    """The disk of the machine on which the driver runs, for all others: bytes travel through Ray."""

    def __init__(self, path: Path) -> None:
        """To be made by the driver."""
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        actor = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=3, max_concurrency=CONCURRENT)(Disk)
        self._disk: Any = actor.options(scheduling_strategy=here).remote(path)

    def read(self, name: str) -> bytes:
        content: bytes = _got(self._disk.read.remote(name))
        return content

    def write(self, name: str, content: bytes) -> None:
        _got(self._disk.write.remote(name, content))

    def list(self, folder: str) -> dict[str, Stamp]:
        stamps: dict[str, Stamp] = _got(self._disk.list.remote(folder))
        return stamps

    def move(self, folder: str, to: str) -> None:
        _got(self._disk.move.remote(folder, to))


def _got(result: ray.ObjectRef) -> Any:
    """What the disk's own error was: Ray's, of the same class, has no errno, and a traceback for its text."""
    try:
        return ray.get(result)
    except RayTaskError as error:
        raise error.cause from None


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder of this machine that goes when it is no longer used. What killed processes left behind goes too."""
    top = _with_room()
    with files.locked(top, "run", wait=True):
        _clear(top)
        folder = Path(tempfile.mkdtemp(dir=top, prefix=SCRATCH))
        held = contextlib.ExitStack()
        held.enter_context(files.locked(folder, "run"))
        held.callback(shutil.rmtree, folder, ignore_errors=True)
    with held:
        yield folder / "run"  # beside the lock


def _with_room() -> Path:
    """The first place for temporary files that has room: a full disk must not end a run that memory could hold."""
    given = os.environ.get("GENRAY_SCRATCH")
    places = [Path(given)] if given else []
    places += [Path(tempfile.gettempdir()), Path("/dev/shm")]  # noqa: S108  a folder of this user's own below it
    found = {place: shutil.disk_usage(place).free for place in places if os.access(place, os.W_OK)}
    have = [f"{free >> 20} MB in {place}" for place, free in found.items()]
    for place in (place for place, free in found.items() if free >= ENOUGH_BYTES):
        # of this machine alone, as on a shared disk none sees the locks of the others
        top = place / f"genray-{os.getuid()}-{socket.gethostname()}"
        with contextlib.suppress(FileExistsError):
            top.mkdir(mode=0o700)
        if _is_own_folder(top):
            return top
        have.append(f"{top}, which is no folder of this user's own")
    raise OSError(
        f"a run needs {ENOUGH_BYTES >> 20} MB of free disk, found {', '.join(have) or 'none'}; "
        f"free some, or name another folder in GENRAY_SCRATCH"
    )


def _is_own_folder(path: Path) -> bool:
    """Where everybody may write, somebody else may have made it, or a link that leads to what is not to be cleared."""
    found = path.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()


def _clear(top: Path) -> None:
    for folder in top.glob(f"{SCRATCH}*"):
        if not files.is_locked(folder):
            shutil.rmtree(folder, ignore_errors=True)
