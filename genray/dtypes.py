"""Which floats a device has."""

from __future__ import annotations

import torch


def widest(device: torch.device) -> torch.dtype:
    """float64; float32 on Apple's MPS, which has no wider."""
    return torch.float32 if device.type == "mps" else torch.float64
