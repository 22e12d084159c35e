"""AdamW (Loshchilov and Hutter 2019) for several replicas at once, each with a rate and constants of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

# R replicas, n parameters of a network


class Constants(NamedTuple):
    """Of one replica."""

    beta1: float
    beta2: float
    weight_decay: float
    eps: float
    clip_norm: float  # the most that a gradient's norm may be; inf: any


class Moments(NamedTuple):
    step: Tensor  # (R,) steps that were taken
    exp_avg: Tensor  # (R, n)
    exp_avg_sq: Tensor  # (R, n)


def no_moments(vector: Tensor) -> dict[str, Tensor]:
    """What torch.optim.AdamW keeps of a parameter, as it is before the first step."""
    kept = {key: torch.zeros_like(vector.detach()) for key in ("exp_avg", "exp_avg_sq")}
    return {"step": torch.zeros((), dtype=torch.float32, device=vector.device), **kept}


@torch.no_grad()
def step_all(
    vectors: Sequence[Tensor],
    gradients: Sequence[Tensor],
    moments: Sequence[Moments],
    rates: Tensor,
    constants: Tensor,
    *,
    clip: bool,
) -> None:
    """One step of every replica, in place, along gradients (R, n) of the networks that a phase moves, all of which have
    taken as many steps. `rates` (R,), `constants` (R, 5), in whose precision the sizes of steps are computed. Without
    `clip` no gradient's norm is looked at.

    As torch.optim.AdamW after torch.nn.utils.clip_grad_norm_ over a replica's networks. Its fused kernel gives two
    blocks of threads to a vector of 100,000 numbers; here those of all replicas are one tensor.
    """
    rate, t = (number.to(constants.dtype).unsqueeze(1) for number in (rates, 1.0 + moments[0].step))
    beta1, beta2, weight_decay, eps, clip_norm = constants.T.unsqueeze(2)  # each (R, 1), as all that follows
    size, correction = rate / (1.0 - beta1**t), (1.0 - beta2**t).rsqrt()
    exact = torch.stack((1.0 - rate * weight_decay, 1.0 - beta1, 1.0 - beta2, eps, correction, size))
    kept, new, new_sq, eps, correction, size = exact.to(vectors[0].dtype)
    if clip:
        squares = torch.stack([gradient.square().sum(1, keepdim=True) for gradient in gradients])
        scale = (clip_norm / (squares.sum(0).sqrt() + 1e-6)).clamp(max=1.0).to(vectors[0].dtype)
        gradients = [gradient * scale for gradient in gradients]
    for vector, gradient, moment in zip(vectors, gradients, moments, strict=True):
        moment.step.add_(1.0)
        moment.exp_avg.lerp_(gradient, new)
        moment.exp_avg_sq.lerp_(gradient.square(), new_sq)
        denominator = torch.addcmul(eps, moment.exp_avg_sq.sqrt(), correction)
        vector.mul_(kept).addcdiv_(moment.exp_avg * size, denominator, value=-1.0)
