"""Draws how far a sweep is: a table that is kept up to date on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table

from genray.cluster.queue import Status
from genray.cluster.snapshot import Snapshot
from genray.report.words import duration, number

PLAIN_EVERY_S = 5.0  # between lines, if something has changed
PLAIN_AT_LEAST_S = 30.0  # between lines, if nothing has


class View:
    def __init__(self, stream: TextIO | None = None, *, console: Console | None = None) -> None:
        self._console = console or Console(file=stream or sys.stderr, highlight=False)
        self._live: Live | None = None
        self._last = -PLAIN_AT_LEAST_S
        self._shown = ""
        self._said: set[str] = set()
        self._snapshot: Snapshot | None = None
        self._note = ""

    @property
    def is_terminal(self) -> bool:
        return self._console.is_terminal

    def say(self, text: str) -> None:
        self._said.add(text)
        self._console.print(text, markup=False, soft_wrap=True)

    def say_once(self, text: str) -> None:
        if text not in self._said:
            self.say(text)

    def show(self, snapshot: Snapshot, *, force: bool = False) -> None:
        """Cheap to call often. What was said and not yet shown stands above the table."""
        if self._snapshot is None:
            self._catch_up(snapshot)
        if snapshot.models:
            self._snapshot = snapshot
            self._show_models(snapshot, force)
        self._catch_up(snapshot)

    def _catch_up(self, snapshot: Snapshot) -> None:
        for text in snapshot.said:
            self.say_once(text)

    def _show_models(self, snapshot: Snapshot, force: bool) -> None:
        if self.is_terminal:
            self._draw(snapshot)
            return
        now = time.monotonic()
        text = "  |  ".join(map(_plain, snapshot.models))
        wait = PLAIN_EVERY_S if text != self._shown else PLAIN_AT_LEAST_S
        if now - self._last >= wait or (force and text != self._shown):
            self._last, self._shown = now, text
            self.say(f"[{_times(snapshot)}]  {text}")

    def note(self, text: str) -> None:
        """A line below the table until it is taken back by an empty one; in a log, a line once."""
        if text == self._note:
            return
        self._note = text
        if self.is_terminal and self._snapshot is not None:
            self._draw(self._snapshot)
        elif text:
            self.say(text)

    def end(self) -> None:
        """Leaves the table as it is; what is said from now on stands below it."""
        self._note, self._snapshot = "", None
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _draw(self, snapshot: Snapshot) -> None:
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, transient=False)
            self._live.start()
        self._live.update(_table(snapshot, self._note), refresh=True)


def _times(snapshot: Snapshot) -> str:
    elapsed = duration(snapshot.elapsed_s)
    return elapsed if snapshot.left_s is None else f"{elapsed}, about {duration(snapshot.left_s)} left"


def _table(snapshot: Snapshot, note: str) -> Table:
    table = Table(title=_times(snapshot), title_justify="left", box=None, pad_edge=False)
    if note:
        table.caption, table.caption_justify = note, "left"
    table.add_column("model")
    for heading in ("trials", "running", "stopped", "failed", f"best {snapshot.metric}", "finalists"):
        table.add_column(heading, justify="right")
    for s in snapshot.models:
        best = "" if s.best is None else number(s.best)
        ended = s.complete + s.stopped + s.failed
        finalists = s.note or f"{s.finalists_done}/{s.finalists}" + f", {s.finalists_failed} failed" * bool(
            s.finalists_failed
        )
        table.add_row(s.model, f"{ended}/{s.trials}", str(s.running), str(s.stopped), str(s.failed), best, finalists)
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
