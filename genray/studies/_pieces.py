"""A training in pieces: what was cut off goes on from the last state that was saved, and comes out bitwise the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from typing import Any

import torch

from genray.runs import Row
from genray.studies.base import Saved
from genray.train import checkpoint
from genray.train.pack import Pack
from genray.train.trainer import Trainer

PIECE_S = 60.0  # the most that is lost, but for an epoch that takes longer: states are saved at the ends of epochs


def trained(
    trainer: Trainer, saved: bytes | None, *, before_epoch: Callable[[int], object] = lambda epoch: None
) -> Generator[Saved, None, list[Row]]:
    """Trains a new trainer to its last epoch, from `saved` on where that is given, and returns every epoch's row.

    `before_epoch` is told how many epochs are done, and may set a learning rate.
    """
    rows = list[Row]()
    if saved is not None:
        before = checkpoint.unpacked(saved, trainer.distributed.device)
        trainer.restore(before)
        rows = before["rows"]

    def epoch() -> None:
        before_epoch(trainer.epoch)
        rows.append(trainer.train_epoch())

    yield from _in_pieces(trainer, epoch, lambda: trainer.state() | {"rows": rows})
    return rows


def trained_together(trainers: Sequence[Trainer], saved: bytes | None) -> Generator[Saved, None, None]:
    """Trains new trainers that differ in their seeds to their last epoch, from `saved` on where that is given: on a GPU
    as one pack, elsewhere in turns of an epoch, as packs do not pay there."""
    first = trainers[0]
    if saved is not None:
        members = checkpoint.unpacked(saved, first.distributed.device)["members"]
        for trainer, state in zip(trainers, members, strict=True):
            trainer.restore(state)
    pack = Pack(trainers) if _packs_pay(first.distributed.device) and not first.finished else None

    def epoch() -> None:
        if pack is None:
            for trainer in trainers:
                trainer.train_epoch()
        else:
            for steps in zip(*(trainer.steps_of_epoch() for trainer in trainers), strict=True):
                pack.train_step(steps)

    yield from _in_pieces(first, epoch, lambda: {"members": [trainer.state() for trainer in trainers]})


def _packs_pay(device: torch.device) -> bool:
    return device.type == "cuda"


def _in_pieces(
    trainer: Trainer, epoch: Callable[[], object], state: Callable[[], dict[str, Any]]
) -> Generator[Saved, None, None]:
    """Trains an epoch after the other until a trainer, alone or with others, is finished."""
    began, last = time.monotonic(), trainer.experiment.epochs
    while not trainer.finished:
        epoch()
        if trainer.finished or time.monotonic() - began >= PIECE_S:
            yield Saved(checkpoint.packed(state(), trainer.model.spec), f"epoch {trainer.epoch} of {last}")
            began = time.monotonic()
