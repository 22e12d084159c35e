"""What a run writes while it trains: metrics.jsonl and TensorBoard events, by one process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.summary import hparams

from genray import files, frames
from genray.images import as_png
from genray.overrides import flatten
from genray.pictures import Picture
from genray.runs import Row, Run
from genray.train.events import Events


class RunLog:
    """Rows and grids of a run. Opened at an epoch, it drops the rows after it: they are about to be trained again. At 0
    that is every row, as a run that begins anew scores its first weights anew."""

    def __init__(self, run: Run, *, epoch: int) -> None:
        self._run = run
        for folder in (run.path, *run.path.iterdir()):
            files.drop_half_written(folder)
        kept = [row for row in run.history if epoch and row["epoch"] <= epoch]
        files.write_text(run.metrics_path, "".join(json.dumps(row) + "\n" for row in kept))
        self._file = run.metrics_path.open("a")
        self._events = Events(run.path, first_step=epoch + 1 if epoch else 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._file.close()
        self._events.close()

    def row(self, row: Row) -> None:
        """TensorBoard's horizontal axis is the epoch, which compares runs of different batch sizes."""
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
        for key, value in row.items():
            if "/" in key:
                self._events.scalar(key, value, int(row["epoch"]))
        if row["epoch"] == 0:
            self._hparams()
        self._events.flush()

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
