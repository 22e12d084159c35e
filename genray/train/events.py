"""TensorBoard events, written where they are added.

tensorboardX's own SummaryWriter hands them to a thread, which ends without a word where a disk is full; the next events
then wait for it for ever.
"""

from __future__ import annotations

import time
from pathlib import Path

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.summary import scalar


class Events:
    """Of one run, from a step on: what older files say of later steps no longer holds. Raises OSError."""

    def __init__(self, folder: Path, *, first_step: int) -> None:
        number = len(list(folder.glob("events.*")))  # names tell seconds alone: a run may go on in that of its death
        self._writer = EventsWriter(str(folder / "events"), f".{number:03d}")
        self._add(Event(step=first_step, session_log=SessionLog(status=SessionLog.START)))

    def scalar(self, tag: str, value: float, step: int) -> None:
        self.summary(scalar(tag, value), step)

    def summary(self, summary: Summary, step: int = 0) -> None:
        self._add(Event(step=step, summary=summary))

    def _add(self, event: Event) -> None:
        event.wall_time = time.time()
        self._writer.write_event(event)

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
