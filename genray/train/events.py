"""TensorBoard events, written where they are added.

tensorboardX's own SummaryWriter hands them to a thread, which ends without a word where a disk is full; the next events
then wait for it for ever.
"""

from __future__ import annotations

import logging
import struct
import time
from pathlib import Path

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import masked_crc32c
from tensorboardX.summary import scalar

from genray import files

_log = logging.getLogger(__name__)


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


def mend(folder: Path) -> None:
    """Makes the event files of a run that nobody writes now readable to their ends: TensorBoard reads none of what
    follows a damaged record, and says nothing. Whole records stay; a file that holds others is kept aside."""
    for path in sorted(folder.glob("events.*tfevents*")):
        content = path.read_bytes()
        whole, is_cut = _whole_records(content)
        if len(whole) == len(content):
            continue
        if not is_cut:
            aside = files.set_aside(path)
            _log.warning("%s is damaged; it is kept as %s, and what is whole of it stays", path, aside.name)
        if whole:
            files.write_bytes(path, whole)


def _whole_records(content: bytes) -> tuple[bytes, bool]:
    """The records whose checksums are right, and whether all that is missing is the rest of the last one, as after a
    kill. A record is its length (8 bytes), the checksum of that (4), its data, and the checksum of that (4)."""
    whole: list[bytes] = []
    start, is_cut = 0, True
    while start + 12 <= len(content):
        header = content[start : start + 8]
        (length,) = struct.unpack("<Q", header)
        if content[start + 8 : start + 12] != _checksum(header):
            return b"".join(whole), False  # where the next record begins is not known
        end = start + length + 16
        if end > len(content):
            break
        record = content[start:end]
        if record[-4:] == _checksum(record[12:-4]):
            whole.append(record)
        else:
            is_cut = False
        start = end
    return b"".join(whole), is_cut


def _checksum(content: bytes) -> bytes:
    return struct.pack("<I", masked_crc32c(content))
