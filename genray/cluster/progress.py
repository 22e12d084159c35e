"""What a sweep tells while it runs: here, and in its folder for those who watch from elsewhere."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from genray.cluster import snapshot
from genray.cluster.conductor import Conductor
from genray.cluster.snapshot import Snapshot, State
from genray.cluster.view import View
from genray.endings import of_disk, words
from genray.errors import Fault, UserError

TICK_S = 0.5  # between two looks at the models
WRITE_S = 1.0  # between two writes into the folder


class Progress:
    """`say` tells what is being done before the first run; `update` draws the state of all models. With `folder`, the
    same stands there in progress.json, from when the sweep has opened it until it has ended."""

    def __init__(self, stream: TextIO | None = None, *, folder: Path | None = None, view: View | None = None) -> None:
        self._view = view or View(stream)
        self._folder = folder
        self._alive = contextlib.ExitStack()
        self._is_ours: bool | None = None  # None: not yet known
        self._conductor: Conductor | None = None
        said = (os.environ[snapshot.NOTE],) if snapshot.NOTE in os.environ else ()
        self._now = Snapshot("running", time.time(), os.environ.get(snapshot.JOB, ""), said)
        self._began = time.monotonic()
        self._looked = self._wrote = float("-inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.end()
        state, code = _end(error)
        self._now = replace(self._now, state=state, code=code, reason=_reason(error), left_s=None)
        self._write(force=True)
        self._alive.close()

    def say(self, text: str) -> None:
        self._view.say(text)
        self._now = replace(self._now, said=(*self._now.said, text))
        self._write(force=True)

    def end(self) -> None:
        """Leaves the table as it is; what is said from now on stands below it."""
        self._view.end()

    def begin(self, conductor: Conductor, metric: str) -> None:
        self._conductor, self._began = conductor, time.monotonic()
        self._now = replace(self._now, metric=metric)
        self.update(force=True)

    def update(self, *, force: bool = False) -> None:
        """Cheap to call often."""
        now = time.monotonic()
        if self._conductor is None or (not force and now - self._looked < TICK_S):
            return
        self._looked = now
        left = None if self._conductor.finished else self._conductor.seconds_left()
        models = tuple(self._conductor.status())  # which may set runs aside, and `say` so
        self._now = replace(self._now, models=models, elapsed_s=round(now - self._began, 1), left_s=left)
        self._view.show(self._now, force=force)
        self._write(force=force)

    def _write(self, *, force: bool) -> None:
        if self._folder is None or not self._opened(self._folder):
            return
        if force or time.monotonic() - self._wrote >= WRITE_S:
            self._wrote = time.monotonic()
            snapshot.write(self._folder, self._now)

    def _opened(self, folder: Path) -> bool:
        """Whether the folder is this sweep's. It makes it when Ray is there, and leaves it to one that works there."""
        if self._is_ours is None and (folder / "sweep.yaml").exists():
            self._is_ours = self._alive.enter_context(snapshot.alive(folder))
        return bool(self._is_ours)


def _end(error: BaseException | None) -> tuple[State, int]:
    """As the command line ends; see genray/cli/__init__.py."""
    if error is None:
        return "finished", 0
    if isinstance(error, KeyboardInterrupt):
        return "stopped", 130
    return "failed", 2 if isinstance(error, UserError) or of_disk(error) is not None else 1


def _reason(error: BaseException | None) -> str:
    if error is None or isinstance(error, KeyboardInterrupt):
        return ""
    if isinstance(error, UserError | Fault | OSError):
        return words(error)
    return f"{type(error).__name__}: {error}"
