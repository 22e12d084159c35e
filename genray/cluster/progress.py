"""What a sweep shows while it runs: a table that is kept up to date on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table

from genray.cluster.conductor import Conductor, Status
from genray.report.words import duration, number

PLAIN_EVERY_S = 5.0  # between lines, if something has changed
PLAIN_AT_LEAST_S = 30.0  # between lines, if nothing has


class Progress:
    """`say` tells what is being done before the first run; `update` draws the state of all models."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._console = Console(file=stream or sys.stderr, highlight=False)
        self._live: Live | None = None
        self._conductor: Conductor
        self._metric = ""
        self._started = self._last = time.monotonic()
        self._shown = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.end()

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)

    def end(self) -> None:
        """Leaves the table as it is; what is said from now on stands below it."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def begin(self, conductor: Conductor, metric: str) -> None:
        self._conductor, self._metric = conductor, metric
        self._started = time.monotonic()
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=False)
            self._live.start()
        self.update(force=True)

    def update(self, *, force: bool = False) -> None:
        """Cheap to call often: draws twice a second on a terminal, and writes a line every few seconds elsewhere."""
        now = time.monotonic()
        if self._live is not None:
            if force or now - self._last >= 0.5:
                self._last = now
                self._live.update(self._table(self._conductor.status()), refresh=True)
            return
        if not force and now - self._last < PLAIN_EVERY_S:
            return
        text = "  |  ".join(_plain(status) for status in self._conductor.status())
        if force or text != self._shown or now - self._last >= PLAIN_AT_LEAST_S:
            self._last, self._shown = now, text
            self.say(f"[{self._times()}]  {text}")

    def _times(self) -> str:
        left = None if self._conductor.finished else self._conductor.seconds_left()
        elapsed = duration(time.monotonic() - self._started)
        return elapsed if left is None else f"{elapsed}, about {duration(left)} left"

    def _table(self, statuses: Sequence[Status]) -> Table:
        table = Table(title=self._times(), title_justify="left", box=None, pad_edge=False)
        headings = ("trials", "running", "stopped", "failed", f"best {self._metric}", "finalists")
        table.add_column("model")
        for heading in headings:
            table.add_column(heading, justify="right")
        for s in statuses:
            best = "" if s.best is None else number(s.best)
            ended = s.complete + s.stopped + s.failed
            finalists = s.note or f"{s.finalists_done}/{s.finalists}" + f", {s.finalists_failed} failed" * bool(
                s.finalists_failed
            )
            table.add_row(
                s.model, f"{ended}/{s.trials}", str(s.running), str(s.stopped), str(s.failed), best, finalists
            )
        return table


def _plain(s: Status) -> str:
    """vae: 5/8 trials, 1 running, 2 stopped, best 12.1, 0/5 finalists"""
    parts = [f"{s.model}: {s.complete + s.stopped + s.failed}/{s.trials} trials"]
    parts += [
        f"{count} {word}"
        for count, word in ((s.running, "running"), (s.stopped, "stopped"), (s.failed, "failed"))
        if count
    ]
    parts += [] if s.best is None else [f"best {number(s.best)}"]
    if s.note:
        parts.append(f"no finalists: {s.note}")
    elif s.complete + s.stopped + s.failed == s.trials:
        parts.append(f"{s.finalists_done}/{s.finalists} finalists")
        parts += [f"{s.finalists_failed} of them failed"] if s.finalists_failed else []
    return ", ".join(parts)
