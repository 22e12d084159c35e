"""How far a sweep is, as its driver writes it into the sweep's folder and as others read it: progress.json."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from genray import files
from genray.cluster.queue import Status

FILE = "progress.json"
JOB = "GENRAY_JOB"  # the environment variable by which a driver knows that it is a cluster's job
NOTE = "GENRAY_NOTE"  # another, with a line that stands first in what this driver says
_ALIVE = ".alive"  # locked for as long as the driver's process is there
State = Literal["running", "finished", "stopped", "failed"]


@dataclass(frozen=True)
class Snapshot:
    state: State
    began: float  # when the driver began; with `job`, tells one driver's from another's
    job: str = ""
    said: tuple[str, ...] = ()  # lines, from the driver's beginning on
    metric: str = ""
    elapsed_s: float = 0.0
    left_s: float | None = None
    models: tuple[Status, ...] = ()
    code: int | None = None  # that the driver ended with
    reason: str = ""  # of a failure

    @property
    def is_over(self) -> bool:
        return self.state != "running"

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))


def parse(text: str) -> Snapshot | None:
    """None for what is not whole, or was written by a version that knew other things."""
    try:
        value: dict[str, Any] = json.loads(text)
        value |= {"models": tuple(Status(**model) for model in value["models"]), "said": tuple(value["said"])}
        return Snapshot(**value)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def read(folder: Path) -> Snapshot | None:
    try:
        return parse((folder / FILE).read_text())
    except (OSError, UnicodeDecodeError):
        return None


def write(folder: Path, snapshot: Snapshot) -> None:
    """Whole or not at all. A disk that is full does not end a sweep here; it does where something would be lost."""
    with contextlib.suppress(OSError):
        temporary = folder / f".{FILE}"
        temporary.write_text(snapshot.to_json())
        os.replace(temporary, folder / FILE)


@contextlib.contextmanager
def alive(folder: Path) -> Iterator[bool]:
    """Tells watchers that this process is there, however it ends. False where another process tells that already."""
    try:
        file = (folder / _ALIVE).open("a")
    except OSError:
        yield False
        return
    with file:
        yield _lock(file)


def _lock(file: IO[str]) -> bool:
    for _ in range(20):  # a watcher that looks at this very moment holds it for an instant
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.01)
        except OSError:  # a file system without locks
            return True
    return False


def is_alive(folder: Path) -> bool:
    """Whether a driver's process holds the folder."""
    return files.is_locked(folder, _ALIVE)
