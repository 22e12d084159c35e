"""A training in pieces: what was cut off goes on from the last state that was saved, and comes out bitwise the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator

from genray.runs import Row
from genray.studies.base import Saved
from genray.train import checkpoint
from genray.train.trainer import Trainer

PIECE_S = 60.0  # the most that is lost, but for an epoch that takes longer: states are saved at the ends of epochs


def trained(
    trainer: Trainer, saved: bytes | None, *, before_epoch: Callable[[int], object] = lambda epoch: None
) -> Generator[Saved, None, list[Row]]:
    """Trains a new trainer to its last epoch, from `saved` on where that is given, and returns every epoch's row.

    `before_epoch` is told how many epochs are done, and may set a learning rate.
    """
    rows, last = list[Row](), trainer.experiment.epochs
    if saved is not None:
        before = checkpoint.unpacked(saved, trainer.distributed.device)
        trainer.restore(before)
        rows = before["rows"]
    began = time.monotonic()
    while not trainer.finished:
        before_epoch(trainer.epoch)
        rows.append(trainer.train_epoch())
        if trainer.finished or time.monotonic() - began >= PIECE_S:
            state = checkpoint.packed(trainer.state() | {"rows": rows}, trainer.model.spec)
            yield Saved(state, f"epoch {trainer.epoch} of {last}")
            began = time.monotonic()
    return rows
