"""A sweep that is kept in object storage: the driver's folder and the storage are brought level both ways.

The driver writes the sweep's own files, and sends them; the runs' files are written by whoever does the runs, and are
fetched, so that the page, TensorBoard and the next `--resume` find them here. Checkpoints stay there, but finalists'.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from genray import files
from genray.claim import Claim
from genray.endings import words
from genray.errors import Fault, UserError
from genray.storage import Bucket, Stamp, Storage, pull, push

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


def fetch(out: Path, bucket: Bucket | None) -> None:
    """Brings what the bucket holds of the sweep to its folder. Raises UserError where the bucket cannot be used."""
    if bucket is None:
        return
    files.refuse_locked(out, "sweep")
    _check(bucket, out.name)
    there = bucket.list(out.name)
    if "sweep.yaml" not in there:
        return
    kept = _knows_more(out / "study.journal", bucket if "study.journal" in there else None)
    pull(bucket, out.name, out, {}, lambda name: not (_is_checkpoint(name) or (kept and name == "study.journal")))


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
    if not (here.startswith(there) or there.startswith(here)):
        raise UserError(f"{path.parent} and the storage hold different sweeps of that name; give another --out")
    return len(here) > len(there)


@contextlib.contextmanager
def mirrored(out: Path, bucket: Bucket | None) -> Iterator[Callable[[], None]]:
    """The sweep's folder while it is kept in the bucket too, below its own name. What is given brings the two level at
    once, and does nothing without a bucket."""
    if bucket is None:
        yield lambda: None
        return
    mirror = _Mirror(out, bucket)
    with mirror.running():
        yield mirror.level


class _Mirror:
    def __init__(self, out: Path, storage: Storage) -> None:
        self._out, self._storage, self._prefix = out, storage, out.name
        self._sent: dict[str, Stamp] = {}
        self._seen: dict[str, Stamp] = {}
        self._over = threading.Event()
        self._one_at_a_time = threading.Lock()
        self._error: Exception | None = None
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

    def _keep_level(self) -> None:
        while self._error is None and not self._over.wait(EVERY_S):
            with contextlib.suppress(Fault):  # told at the end: meanwhile the runs are kept by those who do them
                self.level()

    def level(self) -> None:
        """Raises Fault where it fails, or has failed before: another driver may have taken over."""
        with self._one_at_a_time:
            if self._error is None:
                try:
                    self._level()
                except Exception as error:
                    self._error = error
        if self._error is not None:
            raise Fault(
                f"the sweep could not be kept in the storage: {words(self._error)}; mend that, and the same command "
                f"with --resume goes on"
            ) from self._error

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
