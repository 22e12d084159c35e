"""What a training process knows of the others. One flat all-reduce a phase; nothing at all on one rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed
from torch import Tensor


@dataclass(frozen=True)
class Distributed:
    """This process's place. Several ranks need an initialized `torch.distributed`."""

    device: torch.device
    rank: int = 0
    world_size: int = 1

    @classmethod
    def single(cls, device: torch.device | str = "cpu") -> Distributed:
        return cls(torch.device(device))

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Puts the mean over all ranks in place of each tensor, in one all-reduce."""
        if self.world_size == 1:
            return
        flat = torch.cat([t.reshape(-1) for t in tensors])
        torch.distributed.all_reduce(flat)
        for t, part in zip(tensors, torch.split(flat.div_(self.world_size), [t.numel() for t in tensors]), strict=True):
            t.copy_(part.view_as(t))

    def same(self, value: float) -> float:
        """Rank 0's value, on every rank."""
        if self.world_size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float32, device=self.device)
        torch.distributed.broadcast(shared, src=0)
        return float(shared.item())

    def agree(self, value: bool) -> bool:
        """Rank 0's value, on every rank."""
        return bool(self.same(value))
