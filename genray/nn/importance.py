"""Importance weights p(x, z) / q(z|x) of codes z: the logarithm of their mean is a lower bound on ln p(x)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from genray.dtypes import widest
from genray.nn.elbo import Posterior
from genray.nn.estimators import Function
from genray.nn.noise import Noise
from genray.nn.posteriors import draw

# k draws of z for each image, B images, Z latent dimensions

ROWS_AT_A_TIME = 10_000  # codes that are decoded at a time: memory does not grow with the number of draws


class LogMean(NamedTuple):
    """Of weights w (k, B): ln of their mean (B,), and the variance (B,) that k draws leave in it."""

    nats: Tensor
    variance: Tensor


def log_weights(q: Posterior, log_likelihood: Function, z: Tensor) -> Tensor:
    """ln p(x|z) + ln p(z) − ln q(z|x) (k, B) of draws z (k, B, Z) of q [nats]."""
    return log_likelihood(z) + q.prior_log_prob(z) - q.log_prob(z)


def log_mean_exp(log_w: Tensor) -> Tensor:
    """ln (1/k) Σ exp (B,) of (k, B): with `log_weights` the bound L_k of Burda et al. 2016, eq. 8 [nats]."""
    return log_w.logsumexp(0) - math.log(len(log_w))


def log_mean(log_sum: Tensor, log_sum_of_squares: Tensor, k: int) -> LogMean:
    """From ln Σw and ln Σw² (B,) of k weights. The variance is that of the delta method, Var(w) / (k E[w]²).

    It cannot exceed 1: near that, one weight outweighs the others, and the error is larger than it says.
    """
    shares = (log_sum_of_squares - 2 * log_sum).exp()  # Σw² / (Σw)², 1/k where all weights are alike
    return LogMean(log_sum - math.log(k), (shares - 1 / k).clamp_min(0))


def over_images(found: Sequence[LogMean]) -> tuple[float, float]:
    """The mean over all images, and its standard error for these images: what more draws would take away [nats]."""
    nats, variance = (torch.cat(parts).cpu().double() for parts in zip(*found, strict=True))
    return float(nats.mean()), float(variance.sum().sqrt()) / len(nats)


@torch.no_grad()
def importance_bound(q: Posterior, log_likelihood: Function, noise: Noise, k: int) -> LogMean:
    """L_k of each image by k draws of q, of which few are held at a time [nats]."""
    at_a_time = max(1, ROWS_AT_A_TIME // q.batch)
    sums, squares = [], []
    for start in range(0, k, at_a_time):
        log_w = log_weights(q, log_likelihood, draw(q, min(at_a_time, k - start), noise))
        log_w = log_w.to(widest(log_w.device))
        sums.append(log_w.logsumexp(0))
        squares.append((2 * log_w).logsumexp(0))
    return log_mean(torch.stack(sums).logsumexp(0), torch.stack(squares).logsumexp(0), k)
