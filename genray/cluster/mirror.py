"""A sweep that is kept in object storage: the driver's folder and the storage are brought level both ways.

The driver writes the sweep's own files, and sends them; the runs' files are written by whoever does the runs, and are
fetched, so that the page, TensorBoard and the next `--resume` find them here. Checkpoints stay there, but finalists'.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from genray import files
from genray.claim import Claim, Superseded
from genray.cluster.folder import free_name
from genray.endings import words
from genray.errors import Fault, UserError
from genray.storage import CONNECTIONS, Bucket, Disk, Stamp, Storage, patiently, pull, push

EVERY_S = 5.0  # of the sweep's own state, at most, is lost with the driver's machine
SHARED = "shared"  # in place of a URL: the sweep's folder is the same on every machine
_OWN = ("sweep.yaml", "study.journal", "progress.json")  # and comparison/


def bucket_of(storage: str | None) -> Bucket | None:
    """The storage that a URL names. Raises UserError for anything else but SHARED and None."""
    if storage is None or storage == SHARED:
        return None
    if "://" not in storage:
        raise UserError(
            f"--storage takes a URL like s3://bucket/folder, or `shared` where --out is one folder on all machines, "
            f"got {storage!r}; give one of these"
        )
    return Bucket(storage)


def fetch(out: Path, bucket: Bucket | None) -> Mapping[str, Stamp]:
    """Brings what the bucket holds of the sweep to its folder, and returns what that was. Raises UserError where the
    bucket cannot be used."""
    if bucket is None:
        return {}
    files.refuse_locked(out, "sweep")
    _check(bucket, out.name)
    there = bucket.list(out.name)
    if "sweep.yaml" not in there:
        return {}
    kept = _knows_more(out / "study.journal", bucket if "study.journal" in there else None)
    _set_replaced_aside(out, bucket, there)
    return pull(
        bucket, out.name, out, {}, lambda name: not (_is_checkpoint(name) or (kept and name == "study.journal"))
    )


def _set_replaced_aside(out: Path, bucket: Bucket, names: Iterable[str]) -> None:
    """Runs that a driver elsewhere has put others in the place of: the files of the two would mix."""

    def is_replaced(run: PurePosixPath) -> bool:
        name = run / "experiment.yaml"
        content = patiently(lambda: bucket.read(f"{out.name}/{name}"))
        return (out / name).exists() and (out / name).read_bytes() != content

    paths = map(PurePosixPath, names)
    runs = [path.parent for path in paths if path.name == "experiment.yaml" and len(path.parts) == 3]
    here = [run for run in runs if (out / run).exists()]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        replaced = [run for run, is_one in zip(here, pool.map(is_replaced, here), strict=True) if is_one]
    for run in replaced:
        model = str(run.parent)
        Disk(out).move(str(run), f"{model}/{free_name(out / model, run.name)}")


def _check(bucket: Bucket, prefix: str) -> None:
    """One write and one read, before anything rests on it."""
    name, content = f"{prefix}/.reachable", b"genray"
    try:
        bucket.write(name, content)
        same = bucket.read(name) == content
    except OSError as error:
        raise UserError(
            f"--storage {bucket.url} must be readable and writable from here, got: {' '.join(words(error).split())}; "
            f"mend the bucket's name, the credentials or the network"
        ) from None
    if not same:
        raise UserError(f"--storage {bucket.url} does not give back what was written to it; take another storage")


def _knows_more(path: Path, bucket: Bucket | None) -> bool:
    """Whether the driver's own journal says all that the bucket's does, and more."""
    if not path.exists():
        return False
    here = path.read_bytes()
    there = bucket.read(f"{path.parent.name}/{path.name}") if bucket else b""
    if here.startswith(there) or there.startswith(here):
        return len(here) > len(there)
    if here.partition(b"\n")[0] == there.partition(b"\n")[0]:  # which has a name that no other journal's has
        raise UserError(
            f"the last lines of {path} must be in the storage, got others there: the sweep went on elsewhere before "
            f"these were sent; move that file away, and the same command goes on from what the storage holds"
        )
    raise UserError(f"{path.parent} and the storage hold different sweeps of that name; give another --out")


@contextlib.contextmanager
def mirrored(out: Path, bucket: Bucket | None, seen: Mapping[str, Stamp]) -> Iterator[Mirror | None]:
    """The sweep's folder while it is kept in the bucket too, below its own name; None without a bucket. `seen` is what
    `fetch` has brought."""
    if bucket is None:
        yield None
        return
    mirror = Mirror(out, bucket, seen)
    with mirror.running():
        yield mirror


class Mirror:
    """The driver's folder and a bucket, brought level by a thread of its own while it is `running`."""

    def __init__(self, out: Path, storage: Storage, seen: Mapping[str, Stamp]) -> None:
        self._out, self._storage, self._prefix = out, storage, out.name
        self._sent: dict[str, Stamp] = {}
        self._seen = seen
        self._over = threading.Event()
        self._one_at_a_time = threading.Lock()
        self._superseded: Superseded | None = None
        self._claim = Claim(storage, self._prefix)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Brings the two level every few seconds, and at the end. Raises Fault at the end where that failed."""
        thread = threading.Thread(target=self._keep_level, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()
            self.level()

    @property
    def paused(self) -> contextlib.AbstractContextManager[object]:
        """While folders are renamed in both."""
        return self._one_at_a_time

    @property
    def taken_over(self) -> str:
        """Why this driver has no more to say; empty where it has."""
        return f"the sweep is another driver's now: {self._superseded}" if self._superseded else ""

    def _keep_level(self) -> None:
        while not self._superseded and not self._over.wait(EVERY_S):
            with contextlib.suppress(Fault):  # tried again soon, and told at the end
                self.level()

    def level(self) -> None:
        """Raises Fault where it fails: another driver may have taken over, the storage may be away."""
        with self._one_at_a_time:
            try:
                if self._superseded:
                    raise self._superseded
                self._level()
            except Exception as error:
                self._superseded = error if isinstance(error, Superseded) else None
                raise Fault(
                    f"the sweep could not be kept in the storage: {words(error)}; mend that, and the same command "
                    f"with --resume goes on"
                ) from error

    def _level(self) -> None:
        self._claim.check()
        self._sent = push(self._out, self._storage, self._prefix, self._sent, _is_own)
        self._seen = pull(self._storage, self._prefix, self._out, self._seen, _is_of_runs)


def _is_own(name: str) -> bool:
    return name in _OWN or name.startswith("comparison/")


def _is_checkpoint(name: str) -> bool:
    return "/checkpoint/" in name


def _is_of_runs(name: str) -> bool:
    return not _is_own(name) and (not _is_checkpoint(name) or "/finalist_" in name)
