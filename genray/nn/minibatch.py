"""What lets a discriminator see that a batch lacks variety. All of it looks across the batch."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# B images of the batch, D features, K kernels, P dimensions of a kernel, m images of a pack

KERNEL_SIZE = 5  # Salimans et al. 2016, app.
EPSILON = 1e-8  # a square root has no slope at 0


class MinibatchDiscrimination(nn.Module):
    """Features (B, D) → (B, D + K): how close an image is to the others of its batch, measured in K projections.

    o(xᵢ)ₖ = (1/B) Σⱼ exp(−‖Mᵢₖ − Mⱼₖ‖₁) with M = f(x)T, j = i included, over one kind of images: real and generated
    ones are not mixed. Salimans et al. 2016, §3.2, but for the 1/B: of a sum, which goes up to B beside features of
    order 1, the discriminator made so much that the generator learned nothing on the ring of 8 Gaussians.
    """

    def __init__(self, size: int, num_kernels: int, kernel_size: int = KERNEL_SIZE) -> None:
        super().__init__()
        self.tensor = nn.Parameter(torch.randn(size, num_kernels, kernel_size) / math.sqrt(size))  # T (D, K, P)

    def forward(self, features: Tensor) -> Tensor:
        # differences of what bfloat16 has rounded are mostly rounding
        with torch.autocast(features.device.type, enabled=False):
            matrices = torch.tensordot(features.to(self.tensor.dtype), self.tensor, dims=1).transpose(0, 1)  # (K, B, P)
        # not torch.cdist, whose gradient is not differentiable in every version: penalties on gradients need it
        distances = (matrices[:, :, None] - matrices[:, None]).abs().sum(3)  # (K, B, B)
        closeness = (-distances).exp().mean(2)  # (K, B)
        return torch.cat([features, closeness.t()], dim=1)


def pack(images: Tensor, size: int) -> Tensor:
    """Images (B, C, H, W) → packs (B, mC, H, W) of each with the m − 1 that follow it, the first after the last.

    Lin et al. 2018 make B/m packs of B images; here every image is in m packs, so that no batch is too odd and none
    of it is lost.
    """
    return images if size == 1 else torch.cat([images.roll(-k, dims=0) for k in range(size)], dim=1)


def with_minibatch_stddev(features: Tensor) -> Tensor:
    """Feature maps (B, C, H, W) → (B, C + 1, H, W): one map more, of one number, the standard deviation over the batch
    averaged over channels and places. Karras et al. 2018, §3."""
    stddev = (features.var(0, correction=0) + EPSILON).sqrt().mean()
    return torch.cat([features, stddev.expand(len(features), 1, *features.shape[2:])], dim=1)


def repelling(features: Tensor) -> Tensor:
    """Mean squared cosine between the features (B, D) of different images: 0 where all are orthogonal, 1 where all
    point one way. The pulling-away term of Zhao et al. 2017, eq. 4."""
    unit = F.normalize(features, dim=1)
    n = len(features)
    return ((unit @ unit.t()).square().sum() - n) / (n * (n - 1))
