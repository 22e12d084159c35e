"""What a run writes while it trains: metrics.jsonl and TensorBoard events, by one process."""

from __future__ import annotations

import json
import logging
import os
import zlib
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.summary import hparams

from genray import files
from genray.images import as_png
from genray.overrides import flatten
from genray.pictures import frames
from genray.pictures.catalogue import Picture
from genray.runs import Row, Run
from genray.train import events
from genray.train.events import Events

_log = logging.getLogger(__name__)


class RunLog:
    """Rows and grids of a run. Opened at an epoch, it drops the rows after it: they are about to be trained again. At 0
    that is every row, as a run that begins anew scores its first weights anew."""

    def __init__(self, run: Run, *, epoch: int, logged: Mapping[int, int] | None = None) -> None:
        """`logged` are the checksums that `synced` gave at that epoch."""
        self._run = run
        for folder in (run.path, *run.path.iterdir()):
            files.drop_half_written(folder)
        kept = _whole_rows(run, epoch, logged) if epoch else {}
        files.write_bytes(run.metrics_path, b"".join(line + b"\n" for line in kept.values()))
        self._logged = {number: zlib.crc32(line) for number, line in kept.items()}
        self._file = run.metrics_path.open("a")
        events.mend(run.path)
        self._events = Events(run.path, first_step=epoch + 1 if epoch else 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._file.close()
        self._events.close()

    def row(self, row: Row) -> None:
        """TensorBoard's horizontal axis is the epoch, which compares runs of different batch sizes."""
        line = json.dumps(row)
        self._file.write(line + "\n")
        self._file.flush()
        self._logged[int(row["epoch"])] = zlib.crc32(line.encode())
        for key, value in row.items():
            if "/" in key:
                self._events.scalar(key, value, int(row["epoch"]))
        if row["epoch"] == 0:
            self._hparams()
        self._events.flush()

    def synced(self) -> dict[int, int]:
        """Brings the rows to the disk, and returns their checksums by epoch: a checkpoint speaks of them."""
        os.fsync(self._file.fileno())
        return dict(self._logged)

    def pictures(self, drawn: Mapping[str, Picture], epoch: int) -> None:
        """Each picture in TensorBoard, where it can be followed over epochs, and as a file of the latest; samples as a
        frame too."""
        if "samples" in drawn:
            frames.keep(self._run, drawn["samples"], epoch)
        for name, picture in drawn.items():
            content, (height, width, channels) = as_png(picture), picture.shape
            files.write_bytes(self._run.picture_path(name), content)
            image = Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=content)
            summary = Summary(value=[Summary.Value(tag=name, image=image)])
            self._events.summary(summary, epoch)
        self._events.flush()

    def _hparams(self) -> None:
        """The experiment, beside which TensorBoard shows the scalars' last values, so that a run that was stopped has
        its row too. Columns it makes of all runs that it finds. Of messages that name them, as the first
        of tensorboardX, it takes one run's alone: other models of a sweep would lack theirs."""
        values = {
            key: value if isinstance(value, bool | int | float | str) else str(value)
            for key, value in flatten(self._run.experiment.plain()).items()
        }
        _, start, _ = hparams(values, {})
        self._events.summary(start)


def _whole_rows(run: Run, epoch: int, logged: Mapping[int, int] | None) -> dict[int, bytes]:
    """By epoch the lines up to a checkpoint that are those which were logged. Where others stand in their place, or
    none, the file is kept aside, and the run goes on without them: rows are curves, a checkpoint is hours of work."""
    content = run.metrics_path.read_bytes() if run.metrics_path.is_file() else b""
    found: dict[int, bytes] = {}
    for line in content.split(b"\n")[:-1]:
        number = _epoch_of(line)
        if number is not None and number <= epoch and (logged is None or logged.get(number) == zlib.crc32(line)):
            found.setdefault(number, line)
    kept = {number: found[number] for number in sorted(found)}
    if lost := sorted(set(range(epoch + 1) if logged is None else logged) - kept.keys()):
        aside = files.set_aside(run.metrics_path)
        _log.warning(
            "%s lacks the rows of %d epochs from %d to %d as they were logged; it is kept as %s, and the run goes on "
            "from its checkpoint without these rows",
            *(run.metrics_path, len(lost), lost[0], lost[-1], aside.name),
        )
    return kept


def _epoch_of(line: bytes) -> int | None:
    """Of a row; None where the line is none."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    epoch = row.get("epoch") if isinstance(row, dict) else None
    return epoch if isinstance(epoch, int) and epoch >= 0 else None
