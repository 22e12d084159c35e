"""A training in pieces: what was cut off goes on from the last state that was saved, and comes out bitwise the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence

import torch

from genray import checkpoint
from genray.runs import Row
from genray.studies.base import Saved
from genray.train.course import taken_together
from genray.train.pack import Pack
from genray.train.trainer import Trainer

PIECE_S = 60.0  # the most that is lost, but for an epoch that takes longer: states are saved at the ends of epochs


def trained(
    trainers: Sequence[Trainer],
    saved: bytes | None,
    *,
    before_epoch: Callable[[Trainer], object] = lambda trainer: None,
) -> Generator[Saved, None, list[list[Row]]]:
    """Trains new trainers that differ in their seeds to their last epoch, from `saved` on where that is given: on a GPU
    as one pack, elsewhere in turns of an epoch, as packs do not pay there. Returns the rows of every epoch of each.

    `before_epoch` is shown each trainer before each of its epochs, and may set a learning rate.
    """
    first, rows = trainers[0], [list[Row]() for _ in trainers]
    if saved is not None:
        members = checkpoint.unpacked(saved, first.distributed.device)["members"]
        for trainer, own, state in zip(trainers, rows, members, strict=True):
            trainer.restore(state)
            own += state["rows"]
    packs = len(trainers) > 1 and _packs_pay(first.distributed.device) and not first.finished
    train_epoch = _as_pack(trainers) if packs else lambda: [trainer.train_epoch() for trainer in trainers]
    began, last = time.monotonic(), first.experiment.epochs
    while not first.finished:
        for trainer in trainers:
            before_epoch(trainer)
        for own, row in zip(rows, train_epoch(), strict=True):
            own.append(row)
        if first.finished or time.monotonic() - began >= PIECE_S:
            states = [trainer.state() | {"rows": own} for trainer, own in zip(trainers, rows, strict=True)]
            yield Saved(checkpoint.packed({"members": states}, first.model.spec), f"epoch {first.epoch} of {last}")
            began = time.monotonic()
    return rows


def packs_of(num_seeds: int, size: int) -> list[list[int]]:
    """Seeds from 0 on, so many a part."""
    seeds = list(range(num_seeds))
    return [seeds[first : first + size] for first in range(0, num_seeds, size)]


def _packs_pay(device: torch.device) -> bool:
    return device.type == "cuda"


def _as_pack(trainers: Sequence[Trainer]) -> Callable[[], list[Row]]:
    pack = Pack(trainers)
    return lambda: taken_together([trainer.steps_of_epoch() for trainer in trainers], pack.train_step)
