"""ln p(x) of a decoder with a known likelihood, without an encoder: annealed importance sampling from the prior N(0, I)
to the posterior of each image's code, by Hamiltonian Monte Carlo (Neal 2001; Wu et al. 2017).
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from genray.dtypes import widest
from genray.nn.estimators import Function
from genray.nn.importance import LogMean, log_mean
from genray.nn.noise import Noise

# n chains for each image, B images, Z latent dimensions, β inverse temperatures from 0 to 1

LEAPFROGS = 10  # of a transition, Wu et al. 2017
FIRST_STEP = 0.1  # of a leapfrog
ACCEPTED = 0.65  # share of proposals that step sizes are brought to, Neal 2011
ADAPTATION = 0.1  # how fast the logarithm of a step size follows
STEEPNESS = 4.0  # of the sigmoid of temperatures: most of them lie near 0 and 1


class Place(NamedTuple):
    """Where chains are."""

    z: Tensor  # (n, B, Z)
    log_likelihood: Tensor  # ln p(x|z) (n, B)
    slope: Tensor  # ∇ ln p(x|z) (n, B, Z)

    def log_density(self, beta: Tensor) -> Tensor:
        """ln N(z; 0, I) + β ln p(x|z) (n, B), but for a constant."""
        return beta * self.log_likelihood - 0.5 * self.z.square().sum(-1)

    def force(self, beta: Tensor) -> Tensor:
        return beta * self.slope - self.z


def annealed_importance(
    log_likelihood: Function, shape: tuple[int, int], noise: Noise, *, num_temperatures: int, num_chains: int
) -> LogMean:
    """ln p(x) of each image by the mean weight of its chains [nats], from ln p(x|z), (n, B, Z) → (n, B).

    `shape` is (B, Z). The weights' mean is unbiased, so its logarithm is a lower bound in the mean. Step sizes follow
    the acceptance of each image's chains as they go: a bias that falls with the number of temperatures.
    """
    betas = temperatures(num_temperatures).to(noise.device)
    place = _at(log_likelihood, _normal(noise, num_chains, shape))
    log_w = torch.zeros_like(place.log_likelihood, dtype=widest(place.z.device))
    step = torch.full((shape[0],), FIRST_STEP, device=noise.device)
    for before, beta in pairwise(betas):
        log_w += (beta - before).to(log_w) * place.log_likelihood.to(log_w)
        place, accepted = transition(log_likelihood, place, beta, step, noise)
        step = step * (ADAPTATION * (accepted - ACCEPTED)).exp()
    return log_mean(log_w.logsumexp(0), (2 * log_w).logsumexp(0), num_chains)


def temperatures(count: int) -> Tensor:
    """`count` + 1 values of β from 0 to 1, on a sigmoid."""
    s = torch.sigmoid(STEEPNESS * torch.linspace(-1, 1, count + 1, dtype=torch.float64))
    return ((s - s[0]) / (s[-1] - s[0])).float()


def transition(
    log_likelihood: Function, place: Place, beta: Tensor, step: Tensor, noise: Noise
) -> tuple[Place, Tensor]:
    """One proposal of Hamiltonian Monte Carlo, which leaves p(z) p(x|z)^β as it is; and the mean probability (B,) with
    which it is accepted. step: (B,). A proposal whose density is not a number is refused."""
    num_chains, *shape = place.z.shape
    momentum = _normal(noise, num_chains, (shape[0], shape[1]))
    energy = place.log_density(beta) - 0.5 * momentum.square().sum(-1)
    size, moved = step[:, None], place
    momentum = momentum + 0.5 * size * moved.force(beta)
    for i in range(LEAPFROGS):
        moved = _at(log_likelihood, moved.z + size * momentum)
        momentum = momentum + (0.5 if i == LEAPFROGS - 1 else 1.0) * size * moved.force(beta)
    change = moved.log_density(beta) - 0.5 * momentum.square().sum(-1) - energy
    probability = torch.where(change.isnan(), 0.0, change.clamp_max(0.0).exp())
    taken = probability > noise.uniform(shape[0], num_chains).T
    return Place(*(_choose(taken, new, old) for new, old in zip(moved, place, strict=True))), probability.mean(0)


def _choose(taken: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(taken if new.ndim == taken.ndim else taken[..., None], new, old)


def _at(log_likelihood: Function, z: Tensor) -> Place:
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        nats = log_likelihood(z)
        (slope,) = torch.autograd.grad(nats.sum(), z)
    return Place(z.detach(), nats.detach(), slope)


def _normal(noise: Noise, num_chains: int, shape: tuple[int, int]) -> Tensor:
    """(n, B, Z), drawn image by image."""
    return noise.normal(shape[0], num_chains, shape[1]).transpose(0, 1)
