"""Pure functions that models add up to losses. Each is summed over dimensions, given for each image, and in nats."""

import math

import torch.nn.functional as F
from torch import Tensor

# B images of the batch; "..." the dimensions of one image, code or feature map

LN_2PI = math.log(2 * math.pi)


def gaussian_kl_nats(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(μ, diag σ²) ‖ N(0, I)) of each image (B,), summed over z [nats]. Kingma & Welling 2014, app. B.

    mu, logvar: (B, Z).
    """
    return 0.5 * (mu.square() + logvar.exp() - logvar - 1.0).sum(1)


def gaussian_kl_between_nats(mu: Tensor, logvar: Tensor, other_mu: Tensor, other_logvar: Tensor) -> Tensor:
    """KL(N(μ, diag σ²) ‖ N(μ′, diag σ′²)) of each image (B,), summed over z [nats]. All (B, Z)."""
    squared = (mu - other_mu).square() + logvar.exp()
    return 0.5 * (squared * (-other_logvar).exp() + other_logvar - logvar - 1.0).sum(1)


def categorical_nll_nats(logits: Tensor, probabilities: Tensor) -> Tensor:
    """−Σ y ln softmax(logits) of each label (B,), y as one-hot vector [nats]. Both (B, K)."""
    return -(probabilities * F.log_softmax(logits, dim=1)).sum(1)


def bernoulli_nll_nats(logits: Tensor, pixels: Tensor, where: Tensor | None = None) -> Tensor:
    """−Σ x ln p + (1 − x) ln(1 − p) of each image (B,), with p = σ(logits) [nats].

    logits, pixels: (B, ...), pixels in [0, 1]. A probability where pixels are 0 or 1; for grey pixels it is the usual
    cross-entropy, whose minimum over p is the entropy of x and not 0. With `where`, a mask that broadcasts to pixels,
    the sum is over those alone.
    """
    weight = None if where is None else where.to(pixels.dtype)
    return F.binary_cross_entropy_with_logits(logits, pixels, weight, reduction="none").flatten(1).sum(1)


def gaussian_nll_nats(x: Tensor, mean: Tensor, log_sigma: Tensor, where: Tensor | None = None) -> Tensor:
    """−ln N(x; mean, σ²I) of each image (B,), constant included, in the units of x [nats].

    x, mean: (B, ...); log_sigma: a scalar, ln σ. With `where`, a mask that broadcasts to x, of those values alone.
    """
    if where is not None:
        where = where.expand_as(x)
        x, mean = x * where, mean * where
    errors = (x - mean).flatten(1).square().sum(1)
    count = x[0].numel() if where is None else where.flatten(1).sum(1)
    return 0.5 * errors * (-2.0 * log_sigma).exp() + count * (log_sigma + 0.5 * LN_2PI)


def unit_gaussian_energy_nats(x: Tensor, mean: Tensor) -> Tensor:
    """½‖x − mean‖² of each image (B,): −ln N(x; mean, I) without its constant [nats]. x, mean: (B, ...)."""
    return 0.5 * (x - mean).flatten(1).square().sum(1)


def called_real_nats(logits: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """−E[(1 − s) ln D + s ln(1 − D)], D = σ(logits), averaged over the batch [nats].

    What a discriminator pays on real images, with one-sided label smoothing s (Salimans et al. 2016, §3.4), and with
    s = 0 what a generator pays on its own images: the non-saturating loss (Goodfellow et al. 2014, §3).
    """
    return (F.softplus(logits) - (1.0 - label_smoothing) * logits).mean()


def called_fake_nats(logits: Tensor) -> Tensor:
    """−E[ln(1 − D)], D = σ(logits), averaged over the batch [nats]: what a discriminator pays on generated images."""
    return F.softplus(logits).mean()
