"""What a run writes while it trains: metrics.jsonl and TensorBoard events, by one process."""

from __future__ import annotations

import json
from types import TracebackType
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from tensorboardX import SummaryWriter
from tensorboardX.summary import hparams

from genray import files, pictures
from genray.config import flatten
from genray.images import save_png
from genray.models.base import GenerativeModel
from genray.runs import Row, Run


class RunLog:
    """Rows and grids of a run. Opened at an epoch, it drops the rows after it: they are about to be trained again."""

    def __init__(self, run: Run, *, epoch: int) -> None:
        self._run = run
        kept = [row for row in run.history if row["epoch"] <= epoch]
        files.write_text(run.metrics_path, "".join(json.dumps(row) + "\n" for row in kept))
        self._file = run.metrics_path.open("a")
        self._writer = SummaryWriter(str(run.path), purge_step=epoch + 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._file.close()
        self._writer.close()

    def row(self, row: Row) -> None:
        """TensorBoard's horizontal axis is the epoch, which compares runs of different batch sizes."""
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
        scalars = {key: value for key, value in row.items() if "/" in key}
        for key, value in scalars.items():
            self._writer.add_scalar(key, value, int(row["epoch"]))
        if row["epoch"] == 0:
            self._hparams(scalars)

    def pictures(self, model: GenerativeModel, real: NDArray[np.uint8], device: torch.device, epoch: int) -> None:
        """Samples, and reconstructions of `real` images (N, C, H, W)."""
        samples = pictures.samples(model, device)
        save_png(self._run.samples_path, samples)
        self._writer.add_image("samples", samples, epoch, dataformats="HWC")
        if (picture := pictures.reconstructions(model, real, device)) is not None:
            self._writer.add_image("reconstructions", picture, epoch, dataformats="HWC")

    def _hparams(self, scalars: Row) -> None:
        """The experiment beside its scores. TensorBoard takes them from the scalars of the same names, whose last
        values it shows, so that a run that was stopped has its row too."""
        values = {
            key: value if isinstance(value, bool | int | float | str) else str(value)
            for key, value in flatten(self._run.experiment.plain()).items()
        }
        for summary in hparams(values, scalars)[:2]:  # the third says that the session has ended
            self._writer.file_writer.add_summary(summary)
