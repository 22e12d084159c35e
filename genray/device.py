"""Where a process computes."""

from __future__ import annotations

import torch


def pick_device(gpu: float | None) -> torch.device:
    """CUDA, else Apple's MPS, else the CPU; with `gpu` 0 the CPU."""
    if gpu != 0 and torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    if gpu != 0 and torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def describe(device: torch.device | str) -> str:
    """`cpu`, or the name of the GPU."""
    device = torch.device(device)
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
