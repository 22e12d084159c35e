"""A lane does one job after the other, a run or several that train as one, and hands over each row that was evaluated,
waiting for leave to go on."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, NamedTuple

from genray.cluster.work import Task
from genray.endings import of_disk, words
from genray.runs import Row
from genray.train.loop import Outcome

ENDS_LANE = ("died", "machine", "storage", "disk")


class Event(NamedTuple):
    """What a lane hands over. After a row it waits; "done", "stopped" (as it was told) and "failed" end the run that
    they name, the last four the lane."""

    kind: Literal["row", "done", "stopped", "failed", "died", "machine", "storage", "disk"]
    run: str = ""
    row: Row = {}  # noqa: RUF012  a tuple's default, which nobody changes
    reason: str = ""


def could_not_write(error: OSError) -> tuple[Literal["storage", "disk"], str]:
    """The kind of event, and its reason."""
    told = of_disk(error)
    return "storage" if told is None else "disk", f"{socket.gethostname()}: {told or words(error)}"


def end_of(run: str, outcome: Outcome) -> Event:
    return Event("stopped" if outcome.stopped else "done", run, outcome.row)


class Lane(ABC):
    """`start`, then `next` until all runs have `ended`, or `stop`."""

    _awaits_leave = False
    _left: frozenset[str] = frozenset()  # runs that have not ended

    def start(self, tasks: Sequence[Task]) -> None:
        """Begins a job."""
        self._left = frozenset(task.run for task in tasks)
        self._begin(tasks)

    def next(self) -> Event:
        """Lets the runs go on, and waits for their next event."""
        return self._next(True)

    def _next(self, go_on: bool) -> Event:
        if self._awaits_leave:
            self._awaits_leave = False  # also for who interrupts the wait
            self._answer(go_on)
        event = self._receive()
        self._awaits_leave = event.kind == "row"
        if event.kind in ("done", "stopped", "failed"):
            self._left -= {event.run}
        elif event.kind != "row":
            self._left = frozenset()
        if not self._left:
            self._rest()
        return event

    def refuse(self, run: str) -> None:
        """Ends the run whose row was handed over last; others of its job go on."""
        if run in self._left and self._awaits_leave:
            self._awaits_leave = False
            self._answer(False)

    def take_in(self, tasks: Sequence[Task]) -> None:
        """More runs for the job, of which not all have ended."""
        self._left |= {task.run for task in tasks}
        self._join(tasks)

    @property
    def ended(self) -> bool:
        return not self._left

    def stop(self) -> Event | None:
        """Ends the run after the row that it has handed over last, and others of its job after their next; nothing
        where all have ended. Gives the event that has ended the lane, where one did."""
        if self._awaits_leave:
            while self._left:
                if (event := self._next(False)).kind in ENDS_LANE:
                    return event
        return None

    def _rest(self) -> None:  # noqa: B027  most have nothing to do
        """All runs have ended: the next job may come at once, or never."""

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def _begin(self, tasks: Sequence[Task]) -> None: ...

    @abstractmethod
    def _join(self, tasks: Sequence[Task]) -> None: ...

    @abstractmethod
    def _answer(self, go_on: bool) -> None: ...

    @abstractmethod
    def _receive(self) -> Event: ...
